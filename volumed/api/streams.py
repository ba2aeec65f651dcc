"""Streams of events to clients: what is sent when, and how many there may be. No stream costs a thread.

Knows server-sent events; knows nothing of sockets: a server gives each stream a ``Line`` to send on.
"""

import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from volumed.api.views import events as views
from volumed.db.events import Wanted
from volumed.model.errors import ServiceUnavailable
from volumed.model.records import Event
from volumed.operations.feed import Feed

MEDIA_TYPE = "text/event-stream"

#: Seconds that a client may take nothing of what is sent to it; then it is taken for dead.
STALLED = 60.0


#: Bytes that wait for a client's line at most before another page is added to them.
MOST_WAITING = 16 * 1024


class NoPlace(ServiceUnavailable):
    message = "{limit} streams of events are open, which is the most that this process serves; ask again later."


class Stopping(ServiceUnavailable):
    message = "The service stops; its successor serves the stream."


class Line(Protocol):
    """The way to one client. Nothing of it waits."""

    def send(self, data: bytes | bytearray) -> int:
        """Send as much of ``data`` as there is room for now; how many bytes. ``OSError``: the client is gone."""

    def is_gone(self) -> bool:
        """Whether the client has hung up."""

    def close(self) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many streams there are at most, after how many seconds one ends, and and its heartbeat's pause."""

    places: int
    seconds: float
    heartbeat: float


class Streams:
    """The streams of this process."""

    def __init__(self, feed: Feed, bounds: Bounds) -> None:
        self._feed = feed
        self._bounds = bounds
        self._lock = threading.Lock()
        # Weak: a stream that is dropped before a server has carried it keeps no place.
        self._open: weakref.WeakSet[EventStream] = weakref.WeakSet()

    def open(self, wanted: Wanted, position: int, shows_host: bool) -> "EventStream":
        """A stream of what comes behind ``position``. Raises ``NoPlace``, ``Stopping``."""
        if self._feed.is_stopping:
            raise Stopping
        stream = EventStream(self._feed, wanted, position, shows_host, self._bounds, self._leave)
        with self._lock:
            if len(self._open) >= self._bounds.places:
                raise NoPlace(limit=self._bounds.places)
            self._open.add(stream)
        return stream

    def _leave(self, stream: "EventStream") -> None:
        with self._lock:
            self._open.discard(stream)


class EventStream:
    """One client's stream. A server that knows it calls ``carry``; any other iterates, and lends it a thread."""

    def __init__(
        self,
        feed: Feed,
        wanted: Wanted,
        position: int,
        shows_host: bool,
        bounds: Bounds,
        leave: Callable[["EventStream"], None],
    ) -> None:
        self.wanted = wanted
        self.position = position
        self._feed = feed
        self._shows_host = shows_host
        self._bounds = bounds
        self._leave = leave
        self._line: Line | None = None
        self._outgoing = bytearray(views.opening(position))
        self._until = self._heard = 0.0

    def carry(self, line: Line) -> None:
        """Send on ``line`` from now on, until the end; ``line`` is closed then."""
        self._line = line
        self._heard = time.monotonic()
        self._until = self._heard + self._bounds.seconds
        try:
            self._feed.add(self)
        except BaseException:
            self.end()
            raise

    def __iter__(self) -> Iterator[bytes]:
        line = _Pulled()
        self.carry(line)
        try:
            yield from line.parts()
        finally:
            line.hang_up()

    def close(self) -> None:
        """Give the place back where nobody has carried the stream (PEP 3333 calls it at the end of an answer)."""
        if self._line is None:
            self._leave(self)

    # --- the feed's listener ------------------------------------------------------------------------------------------

    def is_ready(self) -> bool:
        return len(self._outgoing) < MOST_WAITING

    def take(self, page: Sequence[Event], position: int) -> None:
        for event in page:
            if self.wanted.has(event):
                self._outgoing += views.block(event, self._shows_host)
        self.position = position

    def look(self) -> bool:
        line, now = self._line, time.monotonic()
        if line is None:
            return False
        if not self._outgoing and now - self._heard >= self._bounds.heartbeat:
            self._outgoing += views.heartbeat(self.position)
        try:
            over = line.is_gone() or self._send(line, now)
        except OSError:
            over = True
        if over:
            self.end()
        return not over

    def end(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            self._leave(self)  # first: who is told the end may come again at once
            line.close()

    def _send(self, line: Line, now: float) -> bool:
        """Send what goes out; True when the stream has had its time, or the client takes nothing any more."""
        while self._outgoing and (sent := line.send(self._outgoing)):
            del self._outgoing[:sent]
            self._heard = now
        if self._outgoing:
            return now - self._heard >= STALLED or now >= self._until + STALLED
        return now >= self._until


class _Pulled:
    """A line that a server pulls at."""

    def __init__(self) -> None:
        self._parts: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._hung_up = False

    def send(self, data: bytes | bytearray) -> int:
        self._parts.put(bytes(data))
        return len(data)

    def is_gone(self) -> bool:
        return self._hung_up

    def close(self) -> None:
        self._parts.put(None)

    def hang_up(self) -> None:
        self._hung_up = True

    def parts(self) -> Iterator[bytes]:
        return iter(self._parts.get, None)

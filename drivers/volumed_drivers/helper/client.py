"""Asks a helper, and starts one where nobody listens and we may. A connection is kept for the next request.

Knows the socket; knows nothing of what is asked.
"""

import json
import logging
import os
import select
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from volumed.driver.crash import crash_point
from volumed.model.held_lock import held_lock
from volumed_drivers.helper.wire import MOST_ANSWERED, Hello, Refused, Unanswered, receive, send, to_words
from volumed_drivers.local_sockets import connected

LOG = logging.getLogger(__name__)

#: Connections that are kept while nobody asks.
MOST_KEPT = 4

#: Seconds that a helper may take to listen after its start.
START_TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the helpers: ``name`` (``lio``) begins its crash points and ends its unit's name."""

    name: str
    protocol: int
    #: Seconds that a request may take.
    timeout: float
    #: Starts one that outlives us, on a node without its unit; empty: only its unit does.
    command: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        return f"volumed-{self.name}"


class Helper(Protocol):
    """Whoever does what is asked. What is asked is a dataclass whose ``CHANGES`` says that it is not asked twice."""

    def meet(self) -> None:
        """Find the helper. Raises ``Refused``."""

    def ask(self, request: Any) -> Any:
        """The answer. Raises ``Refused`` and ``Unanswered``."""


class Client:
    """The helper behind ``path``."""

    def __init__(self, kind: Kind, path: Path) -> None:
        self._kind = kind
        self._path = path
        self._idle: list[tuple[int, socket.socket]] = []

    def meet(self) -> None:
        told = self.ask(Hello())
        if told["protocol"] != self._kind.protocol:
            unit = self._kind.unit
            reason = f"the helper behind {self._path} is of another version: systemctl restart {unit}"
            raise Refused("unreachable", reason)

    def ask(self, request: Any) -> Any:
        told, descriptors = self._answer(request)
        for descriptor in descriptors:
            os.close(descriptor)
        return told

    def ask_for_descriptor(self, request: Any) -> int:
        """The descriptor that comes with the answer; the caller closes it. Raises as ``ask`` does."""
        _, descriptors = self._answer(request)
        if not descriptors:
            raise Unanswered(f"{self._kind.unit} handed nothing over")
        return descriptors[0]

    def _answer(self, request: Any) -> tuple[Any, Sequence[int]]:
        if request.CHANGES:
            crash_point(f"{self._kind.name}.ask.before")
        told, descriptors = self._asked(request)
        if request.CHANGES:
            crash_point(f"{self._kind.name}.ask.after")
        if "refused" in told:
            raise Refused(told["refused"], told["reason"])
        return told["done"], descriptors

    def _asked(self, request: Any) -> tuple[dict[str, Any], Sequence[int]]:
        """Once more, on a new connection, where nobody heard it, or the helper died and it changes nothing."""
        try:
            return self._exchange(self._kept() or self._connect(), request)
        except ConnectionError as error:
            if request.CHANGES and not isinstance(error, BrokenPipeError):
                raise self._unanswered(request, error) from error
            LOG.debug("%s has closed a connection, or has died", self._kind.unit)
        except OSError as error:
            raise self._unanswered(request, error) from error
        try:
            return self._exchange(self._connect(), request)
        except OSError as error:
            raise self._unanswered(request, error) from error

    def _exchange(self, stream: socket.socket, request: Any) -> tuple[dict[str, Any], Sequence[int]]:
        """Raises ``BrokenPipeError`` where nobody heard it, another ``OSError`` where it may have been done."""
        try:
            send(stream, to_words(request), held_lock() if request.CHANGES else None)
            if request.CHANGES:
                crash_point(f"{self._kind.name}.ask.sent")
            words, descriptors = receive(stream, MOST_ANSWERED)
        except BaseException:
            stream.close()
            raise
        self._keep(stream)
        return json.loads(words), descriptors

    def _kept(self) -> socket.socket | None:
        """A connection that is open and not in use; none of a parent process, whose answers it would take."""
        while self._idle:
            owner, stream = self._idle.pop()
            if owner == os.getpid() and not _speaks(stream):
                return stream
            stream.close()
        return None

    def _keep(self, stream: socket.socket) -> None:
        if len(self._idle) < MOST_KEPT:
            self._idle.append((os.getpid(), stream))
        else:
            stream.close()

    def _connect(self) -> socket.socket:
        try:
            return connected(self._path, self._kind.timeout)
        except BlockingIOError as error:
            reason = f"{self._kind.unit} takes no connection within {self._kind.timeout:.0f} s"
            raise Refused("busy", reason) from error
        except OSError as error:
            if os.geteuid() != 0 or not self._kind.command:
                reason = f"nobody listens on {self._path} ({error.strerror}): systemctl start {self._kind.unit}.socket"
                raise Refused("unreachable", reason) from error
        return self._started()

    def _started(self) -> socket.socket:
        """Start a helper that outlives us. Of two that are started at once, the second sees the first and ends."""
        crash_point(f"{self._kind.name}.start.before")
        child = subprocess.Popen(
            [*self._kind.command, "--socket", str(self._path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        crash_point(f"{self._kind.name}.start.after")
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            try:
                stream = connected(self._path, self._kind.timeout)
            except OSError:
                status = child.poll()
                if status:
                    raise Refused("unreachable", f"{self._kind.unit} ended at once with status {status}") from None
                time.sleep(0.02)
            else:
                LOG.info("started %s: pid=%d socket=%s", self._kind.unit, child.pid, self._path)
                return stream
        raise Refused("unreachable", f"{self._kind.unit} does not listen after {START_TIMEOUT:.0f} s")

    def _unanswered(self, request: Any, error: OSError) -> Unanswered:
        what = type(request).__name__.lower()
        return Unanswered(f"{self._kind.unit} did not answer {what}: {error.strerror or error}")


def _speaks(stream: socket.socket) -> bool:
    """Whether there is something to be read where nothing was asked: the end of it."""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    return bool(poll.poll(0))

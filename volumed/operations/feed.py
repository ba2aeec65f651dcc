"""Brings new events to all listeners of a process: one thread reads for all of them, and lives while somebody listens.

Knows positions and pages; knows nothing of HTTP. A listener that falls behind is read for by itself until it is level
with the others again, so a slow one costs the others nothing.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Protocol

from volumed.db import events
from volumed.db.engine import Database
from volumed.db.events import Positions, Wanted
from volumed.model.errors import EventsForgotten, Gone, UnknownPosition
from volumed.model.records import Event

LOG = logging.getLogger(__name__)

#: Seconds between two looks while everybody is level.
PAUSE = 0.1

#: Seconds before the next look when the database could not be read.
PAUSE_AFTER_FAILURE = 1.0

#: Events of one page.
PAGE = 200

#: Events that are numbered in one transaction.
BATCH = 500


class Listener(Protocol):
    """Somebody who is told of events. Called by the feed's thread only, but for ``end`` after the feed has stopped."""

    @property
    def wanted(self) -> Wanted:
        """Which events it wants."""

    @property
    def position(self) -> int:
        """Up to where it has been told."""

    def is_ready(self) -> bool:
        """Whether it can take more."""

    def take(self, page: Sequence[Event], position: int) -> None:
        """The next events, which may have unwanted ones among them, up to ``position``."""

    def look(self) -> bool:
        """Do what time brings; False: it is over, and is not asked again."""

    def end(self) -> None:
        """Stop at once."""


class Feed:
    """The one reader of a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()
        self._thread: threading.Thread | None = None
        self._came = threading.Event()
        self._stopping = False

    def add(self, listener: Listener) -> None:
        """Bring ``listener`` what comes behind its position; one that comes while we stop is ended at once."""
        with self._lock:
            if not self._stopping:
                self._listeners.add(listener)
                self._came.set()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="feed of events", daemon=True)
                    self._thread.start()
                return
        listener.end()

    def stop(self) -> None:
        """End every listener and the thread."""
        with self._lock:
            self._stopping = True
            thread = self._thread
        self._came.set()
        if thread is not None:
            thread.join()
        with self._lock:
            left, self._listeners = self._listeners, set()
        for listener in left:
            listener.end()

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    def positions(self) -> Positions:
        """How far the stream goes, after all that is committed has its position."""
        with self._database.reading() as tx:
            unnumbered = events.are_unnumbered(tx)
            found = events.positions(tx)
        if not unnumbered:
            return found
        while self._database.write(events.number, BATCH) == BATCH:
            pass
        with self._database.reading() as tx:
            return events.positions(tx)

    def page(self, wanted: Wanted, position: int | None, last: int, limit: int = PAGE) -> tuple[list[Event], int]:
        """The next of the ``wanted`` events behind ``position``, and how far one has been told with them.

        Raises ``Gone`` when some of them are kept no longer. None: from the oldest that is kept.
        """
        with self._database.reading() as tx:
            found = events.behind(tx, wanted, position or 0, last, limit)
            if position is not None:
                refuse_gone(position, events.positions(tx))
        if len(found) < limit:
            return found, last
        return found, (found[-1].position if found else position) or 0

    def _run(self) -> None:
        while True:
            self._came.clear()
            with self._lock:
                if self._stopping or not self._listeners:
                    self._thread = None
                    return
                listeners = list(self._listeners)
            pause = self._bring(listeners)
            over = [listener for listener in listeners if not _goes_on(listener)]
            with self._lock:
                self._listeners.difference_update(over)
            del listeners, over  # what is over is not kept alive by the pause
            self._came.wait(pause)

    def _bring(self, listeners: Iterable[Listener]) -> float:
        """Read what is new and hand it out; the seconds until the next look."""
        try:
            last = self.positions().last
            level = True
            for position, together in _by_position(listeners, last).items():
                level = self._bring_page(together, position, last) and level
        except Exception as error:
            # Whatever it is, nobody has been told what he was not: the next look begins where this one did.
            LOG.warning("events cannot be read, it is tried again: %s", error)
            return PAUSE_AFTER_FAILURE
        return PAUSE if level else 0.0

    def _bring_page(self, together: Sequence[Listener], position: int, last: int) -> bool:
        """The next page for those who stand at ``position``; whether they are level with it."""
        wanted = together[0].wanted if len(together) == 1 else Wanted()
        try:
            page, reached = self.page(wanted, position, last)
        except Gone as error:
            LOG.warning("listeners have been too slow: %s", error)
            for listener in together:
                listener.end()
            return True
        for listener in together:
            listener.take(page, reached)
        return reached == last


def refuse_gone(position: int, found: Positions) -> None:
    """Raise ``Gone`` where events behind ``position`` are kept no longer, or it is none of this stream's."""
    if position < found.forgotten:
        raise EventsForgotten(position=position, forgotten=found.forgotten)
    if position > found.last:
        raise UnknownPosition(position=position, last=found.last)


def _goes_on(listener: Listener) -> bool:
    try:
        return listener.look()
    except Exception:
        # One listener's trouble must not end the thread of all.
        LOG.exception("a listener to events is given up")
        listener.end()
        return False


def _by_position(listeners: Iterable[Listener], last: int) -> dict[int, list[Listener]]:
    """Those who can be told more, with those who stand at the same place."""
    found: dict[int, list[Listener]] = {}
    for listener in listeners:
        if listener.position < last and listener.is_ready():
            found.setdefault(listener.position, []).append(listener)
    return found

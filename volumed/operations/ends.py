"""Waits for the ends of operations: one thread polls for all waiters of a process.

Nothing else tells a process that an operation ended somewhere else; the row is the truth.
"""

import logging
import threading
import time
from dataclasses import dataclass, field

from volumed.db import operations
from volumed.db.engine import Database
from volumed.model.records import Json
from volumed.model.states import ENDED

LOG = logging.getLogger(__name__)

#: Seconds between the first two looks after a waiter came.
FIRST_PAUSE = 0.005

#: Seconds between two looks at most.
LONGEST_PAUSE = 0.1

#: By how much the pause grows with each look that found nothing.
GROWTH = 1.5

End = tuple[str, Json | None]


@dataclass(slots=True, eq=False)
class _Waiter:
    operation_id: str
    ended: threading.Event = field(default_factory=threading.Event)
    end: End | None = None


class EndPoller:
    """The one poller of a process. Its thread lives only while somebody waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiters: set[_Waiter] = set()
        self._thread: threading.Thread | None = None
        self._came = threading.Event()
        self._stopping = False

    def wait(self, operation_id: str, timeout_seconds: float) -> End | None:
        """State and error of the operation once it has ended; None when it runs on past the timeout."""
        waiter = _Waiter(operation_id)
        self._enter(waiter)
        waiter.ended.wait(timeout_seconds)
        with self._lock:
            self._waiters.discard(waiter)
        return waiter.end

    def stop(self) -> None:
        """End the thread; whoever waits is told that the operation still runs."""
        with self._lock:
            self._stopping = True
            for waiter in self._waiters:
                waiter.ended.set()
            thread = self._thread
        self._came.set()
        if thread is not None:
            thread.join()

    def _enter(self, waiter: _Waiter) -> None:
        with self._lock:
            if self._stopping:
                waiter.ended.set()
                return
            self._waiters.add(waiter)
            self._came.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._poll, name="ends of operations", daemon=True)
                self._thread.start()

    def _poll(self) -> None:
        pause = FIRST_PAUSE
        while True:
            with self._lock:
                if self._stopping or not self._waiters:
                    self._thread = None
                    return
                waited = list(self._waiters)
            if self._came.is_set():
                self._came.clear()
                pause = FIRST_PAUSE
            if self._tell(waited):
                pause = FIRST_PAUSE
            self._came.wait(pause)
            pause = min(pause * GROWTH, LONGEST_PAUSE)

    def _tell(self, waited: list[_Waiter]) -> bool:
        """Wake those whose operation has ended; True when there was one."""
        try:
            with self._database.reading() as tx:
                states = operations.states_of(tx, {waiter.operation_id for waiter in waited})
        except Exception as error:
            # Whatever it is, the others' waiting must not end with it; each waiter has a bound of its own.
            LOG.warning("ends of %d operations cannot be read, it is tried again: %s", len(waited), error)
            time.sleep(LONGEST_PAUSE)
            return False
        told = False
        for waiter in waited:
            state = states.get(waiter.operation_id)
            if state is not None and state[0] in ENDED:
                waiter.end = state
                waiter.ended.set()
                told = True
                with self._lock:
                    self._waiters.discard(waiter)
        return told

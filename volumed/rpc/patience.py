"""Bounds what the messaging libraries leave without a bound.

Knows time and threads; knows nothing of messages.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TypeVar
from weakref import finalize

LOG = logging.getLogger(__name__)

T = TypeVar("T")

#: Casts that wait to be sent at most; they are wake-up calls, and what is dropped is found by a sweep.
MOST_WAITING = 1000


def within(seconds: float, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises. Raises ``TimeoutError`` after ``seconds``; ``work`` is then left to itself."""
    done: Future[T] = Future()
    run = copy_context().run  # what it logs is about what its caller is at
    threading.Thread(target=run, args=(_carry_out, work, done), name="within", daemon=True).start()
    return done.result(seconds)


def _carry_out(work: Callable[[], T], done: "Future[T]") -> None:
    try:
        done.set_result(work())
    except BaseException as error:
        done.set_exception(error)


class Courier:
    """Carries out pieces of work one after the other in a thread of its own, so that nobody waits for them.

    The thread starts with the first piece and ends when the courier is no longer referred to.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._guard = threading.Lock()
        self._started = False
        self._full = False

    def take(self, work: Callable[[], object]) -> bool:
        """Have ``work`` done soon. False, and the first time a line in the log, when too much is waiting already."""
        self._start()
        full, before = self._waiting.qsize() >= self._most, self._full
        self._full = full
        if full:
            if not before:
                LOG.warning("%d casts wait to be sent; those that come now are dropped", self._most)
            return False
        self._waiting.put(partial(copy_context().run, _try, work))
        return True

    def _start(self) -> None:
        with self._guard:
            if not self._started:
                self._started = True
                threading.Thread(target=_work_off, args=(self._waiting,), name="casts", daemon=True).start()
                finalize(self, self._waiting.put, None)


def _work_off(waiting: "SimpleQueue[Callable[[], object] | None]") -> None:
    while (work := waiting.get()) is not None:
        work()
        del work  # it refers to whom the courier serves


def _try(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:
        LOG.exception("a cast was not sent; the receiver's sweep finds what it was about")

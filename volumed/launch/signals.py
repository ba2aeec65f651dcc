"""The signals of a process: the first ending one ends it in order, the second at once; SIGHUP may stand for a reload.

A handler of Python's runs in the main thread between two bytecodes: never while that thread sleeps in a lock that it
entered just before the signal, and with the lock of whatever it interrupted. So the handlers here do nothing; the
interpreter writes each signal's number to a pipe (signal.set_wakeup_fd), and somebody reads it.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Collection

#: Ctrl-C, and the service manager's word.
ENDING = (signal.SIGINT, signal.SIGTERM)


def pipe_of(numbers: Collection[int]) -> int:
    """What the numbers of ``numbers`` that come can be read from, a byte each. Only the main thread may call it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, _leave_it_to_the_pipe)
    return reading


class EndingSignals:
    """Listens from ``listen`` on, for the rest of the process's life.

    ``reload`` is called at SIGHUP, in a thread of its own; without it SIGHUP is a terminal that was closed, and ends.
    """

    def __init__(self, reload: Callable[[], None] | None = None) -> None:
        self._came = threading.Event()
        self._reload = reload
        self._ending = ENDING if reload else (*ENDING, signal.SIGHUP)

    def listen(self) -> None:
        """Only the main thread may call it."""
        reading = pipe_of((*ENDING, signal.SIGHUP))
        threading.Thread(target=self._hear, args=(reading,), name="signals", daemon=True).start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the first ending signal; False when none came within ``timeout`` seconds."""
        return self._came.wait(timeout)

    def _hear(self, reading: int) -> None:
        while True:
            number = os.read(reading, 1)[0]
            if number in self._ending:
                self._end(number)
            elif number == signal.SIGHUP and self._reload and not self._came.is_set():
                threading.Thread(target=self._reload, name="reload", daemon=True).start()

    def _end(self, number: int) -> None:
        if self._came.is_set():
            os.write(sys.stderr.fileno(), b"volumed: stopped at once; the next start resumes what was under way\n")
            os._exit(128 + number)
        self._came.set()


def _leave_it_to_the_pipe(number: int, frame: object) -> None:
    """Any handler will do: without one the signal would end the process."""

"""The signals that end a process: in order at the first one, at once at the second.

A handler of Python's runs in the main thread between two bytecodes: never while that thread sleeps in a lock that it
entered just before the signal, and with the lock of whatever it interrupted. So the handlers here do nothing; the
interpreter writes each signal's number to a pipe (signal.set_wakeup_fd), and a thread reads it.
"""

import os
import signal
import sys
import threading

#: Ctrl-C, the service manager's word, and a terminal that was closed.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndingSignals:
    """Listens from ``listen`` on, for the rest of the process's life."""

    def __init__(self) -> None:
        self._came = threading.Event()

    def listen(self) -> None:
        """Only the main thread may call it."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in ENDING:
            signal.signal(number, _leave_it_to_the_pipe)
        threading.Thread(target=self._hear, args=(reading,), name="signals", daemon=True).start()

    def wait(self) -> None:
        """Wait for the first signal."""
        self._came.wait()

    def _hear(self, reading: int) -> None:
        while True:
            number = os.read(reading, 1)[0]
            if number not in ENDING:
                continue
            if self._came.is_set():
                os.write(sys.stderr.fileno(), b"volumed: stopped at once; the next start resumes what was under way\n")
                os._exit(128 + number)
            self._came.set()


def _leave_it_to_the_pipe(number: int, frame: object) -> None:
    """Any handler will do: without one the signal would end the process."""

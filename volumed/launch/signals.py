"""The signals that end a process: in order at the first one, at once at the second.

A signal interrupts the main thread anywhere, also while it holds a lock; so the handler takes none, and what it calls
may interrupt itself (queue.SimpleQueue; threading.Event may not).
"""

import os
import signal
import sys
from queue import SimpleQueue

#: Ctrl-C, the service manager's word, and a terminal that was closed.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndingSignals:
    """Listens from ``listen`` on; only the main thread may call it."""

    def __init__(self) -> None:
        self._came: SimpleQueue[int] = SimpleQueue()
        self._ending = False

    def listen(self) -> None:
        for number in ENDING:
            signal.signal(number, self._on_signal)

    def wait(self) -> None:
        """Wait for the first signal."""
        self._came.get()

    def _on_signal(self, number: int, frame: object) -> None:
        if self._ending:
            os.write(sys.stderr.fileno(), b"volumed: stopped at once; the next start resumes what was under way\n")
            os._exit(128 + number)
        self._ending = True
        self._came.put(number)

"""A service of a fleet as its command starts it, on eventlet, with its hub's stalls noted.

    python -m tests.lab.green_service PARENT NOTES STALLS SERVICE ARGUMENTS...

A stall is a time in which the hub's thread slept or worked in the kernel without waiting for its descriptors. What it
computes, or waits for a processor, is none (getrusage(2), schedstat of proc(5)): a loaded machine makes no stalls. Each
process keeps its longest one in the file STALLS.PID, in seconds.
"""

import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

#: Source: prctl(2).
PR_SET_PDEATHSIG = 1

# As they are before anything is made green.
_pread, _open, _monotonic = os.pread, os.open, time.monotonic


class Stalls:
    """Of this process and of those that are forked from it, each for itself."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._process = 0
        self._times = -1
        self._worst = 0.0
        self._awake_since = (0.0, 0.0)

    def watch(self, hub: Any) -> None:
        """Have every wait of a hub of this class told."""
        poll = hub.do_poll

        def waiting(self_: Any, seconds: float) -> Any:
            self.sleeps()
            try:
                return poll(self_, seconds)
            finally:
                self.wakes()

        hub.do_poll = waiting

    def wakes(self) -> None:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._times = _open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
            self._note(0.0)
        self._awake_since = self._now()

    def sleeps(self) -> None:
        if self._process == os.getpid():
            passed, busy = (now - then for now, then in zip(self._now(), self._awake_since, strict=True))
            if passed - busy > self._worst:
                self._note(passed - busy)

    def _now(self) -> tuple[float, float]:
        """Seconds: of the clock, and those that the thread has computed or waited for a processor."""
        ready = int(_pread(self._times, 100, 0).split()[1])
        return _monotonic(), resource.getrusage(resource.RUSAGE_THREAD).ru_utime + ready / 1e9

    def _note(self, seconds: float) -> None:
        self._worst = seconds
        path, draft = f"{self._path}.{self._process}", f"{self._path}-draft.{self._process}"
        Path(draft).write_text(str(seconds))
        os.rename(draft, path)


def main(parent: str, notes: str, stalls: str, service: str, *arguments: str) -> int:
    """Be the service until a signal."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        return 1
    from eventlet.hubs import epolls

    Stalls(stalls).watch(epolls.Hub)
    from volumed.launch import concurrency

    concurrency.choose()
    from tests.lab import watched
    from volumed.cmd.service import SERVICES

    watched.note_secrets(Path(notes))
    return SERVICES[service](arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

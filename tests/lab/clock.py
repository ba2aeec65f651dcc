"""A clock that jumps, in a daemon that is forked for a test: how far it is off stands in a file.

The system's own clock is everybody's, and libfaketime makes clock_nanosleep(2) fail; so the process's time is set
where Python reads it. What sleeps and waits goes by the monotonic clock, here as in truth.
"""

import time
from pathlib import Path

#: Names the file for the daemon.
VARIABLE = "VOLUMED_LAB_CLOCK"


class Clock:
    """For the test: a file that says by how many seconds the daemon's clock is off."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """From now on the clock is off by so much."""
        draft = self._path.with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.rename(self._path)

    def environment(self) -> dict[str, str]:
        """What the daemon is started with."""
        return {VARIABLE: str(self._path)}


def follow(path: Path) -> None:
    """For the daemon: go by the file from now on."""
    true_time, true_time_ns = time.time, time.time_ns

    def off() -> int:
        return int(path.read_text())

    time.time = lambda: true_time() + off()
    time.time_ns = lambda: true_time_ns() + off() * 1_000_000_000

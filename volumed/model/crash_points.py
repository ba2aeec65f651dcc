"""Named places where a process may die, so that a test can make it die exactly there.

Every step boundary and every external effect passes a point. Unused, a point costs one attribute read. Armed, the
watcher is told the point's name and may kill the process, raise, or take notes; nothing else in volumed depends on it.
"""

import os
import signal
from collections.abc import Callable

from volumed.model.errors import ConfigurationError

#: What is called at each point with its name; None while unused.
_watcher: Callable[[str], None] | None = None


def crash_point(name: str) -> None:
    """Pass the point ``name`` (``room.effect.before`` or ``.after``)."""
    if _watcher is not None:
        _watcher(name)


def watch(watcher: Callable[[str], None] | None) -> None:
    """Tell ``watcher`` of every point that is passed from now on; None stops it."""
    global _watcher
    _watcher = watcher


def kill_at(spec: str) -> None:
    """Kill this process with SIGKILL at the point that ``spec`` names.

    ``spec`` is ``NAME`` or ``NAME:N``, the N-th passage (from 1). Set by the commands from ``VOLUMED_CRASH_POINT``.
    Raises ``ConfigurationError`` for anything else.
    """
    name, _, number = spec.partition(":")
    if number and not (number.isascii() and number.isdigit() and int(number)):
        raise ConfigurationError(option="VOLUMED_CRASH_POINT", reason=f"{spec!r} is neither NAME nor NAME:N")
    left = int(number or 1)

    def die(passed: str) -> None:
        nonlocal left
        if passed == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    watch(die)

"""The lock that the work of this thread holds, for the commands that the work runs.

A command that outlives its process goes on holding it, so whoever takes the work over waits for the command's end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_HELD: ContextVar[int | None] = ContextVar("held lock", default=None)


def held_lock() -> int | None:
    """The descriptor of the lock, None when this thread's work holds none."""
    return _HELD.get()


@contextmanager
def holding(descriptor: int | None) -> Iterator[None]:
    """Within, commands of this thread hold the lock too."""
    before = _HELD.set(descriptor)
    try:
        yield
    finally:
        _HELD.reset(before)

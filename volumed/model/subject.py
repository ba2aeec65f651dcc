"""What the lines that a thread logs are about: a request, and the operation that it became.

Follows no call into another thread or process: whoever takes a request up there says so again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Subject:
    """Ids, each None where there is none."""

    request_id: str | None = None
    operation_id: str | None = None


NOTHING = Subject()

_current: ContextVar[Subject] = ContextVar("subject", default=NOTHING)


def current() -> Subject:
    """What this thread is at."""
    return _current.get()


def begin(subject: Subject) -> None:
    """Be at ``subject`` until something else is begun."""
    _current.set(subject)


@contextmanager
def about(request_id: str | None = None, operation_id: str | None = None) -> Iterator[None]:
    """Be at this inside the block; what is not given stays as it is around it."""
    given = {"request_id": request_id, "operation_id": operation_id}
    token = _current.set(replace(_current.get(), **{name: each for name, each in given.items() if each}))
    try:
        yield
    finally:
        _current.reset(token)

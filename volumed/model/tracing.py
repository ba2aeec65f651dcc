"""Spans of what is done for a request, for whoever wants them; where nobody does, one costs an attribute read.

Says where a span begins, what its parent is and how it is named elsewhere; knows no collector (``launch.tracing``). A
span's name and attributes are ids and kinds: no text of a user's, and no error's but the name of its class.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

#: The key under which a message's context and an operation's arguments have the span that they belong to.
#: Source: W3C Trace Context, "traceparent Header".
PARENT = "traceparent"

Attributes = Mapping[str, str | int | bool]

#: Adds to the span what is known only later; ``name`` is a better name for it.
Note = Callable[[Attributes, str | None], None]


class Tracer(Protocol):
    """Whoever takes the spans."""

    def span(self, name: str, parent: str | None, attributes: Attributes) -> AbstractContextManager[Note]:
        """A span of the block; without ``parent`` a child of the present one, if any."""

    def present(self) -> str | None:
        """The present span, in the form of ``parent``."""


def _forget(attributes: Attributes, name: str | None = None) -> None:
    """Nobody wants it."""


_NOBODY: AbstractContextManager[Note] = nullcontext(_forget)

#: Who takes the spans of this process; None: nobody.
_tracer: Tracer | None = None


def tell(tracer: Tracer | None) -> None:
    """Give the spans of this process to ``tracer`` from now on; None: to nobody any more."""
    global _tracer
    _tracer = tracer


def span(name: str, source: Mapping[str, Any] | None = None, **attributes: str | int) -> AbstractContextManager[Note]:
    """A span of the block. ``source`` may carry its parent, as ``carried`` gave it to a message or a row."""
    if _tracer is None:
        return _NOBODY
    parent = (source or {}).get(PARENT)
    told = {f"volumed.{key}": value for key, value in attributes.items()}
    return _tracer.span(name, parent if isinstance(parent, str) else None, told)


def carried() -> dict[str, str]:
    """What a message or a row takes along, so that what is done for it belongs to the present span."""
    present = None if _tracer is None else _tracer.present()
    return {} if present is None else {PARENT: present}

"""Waiting for an operation's end, with one live line.

The operation outlives its server: while the server is away the wait goes on, as long as the user's patience.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from volumed.client.answer import console
from volumed.client.moments import duration
from volumed.client.rest import ClientError, Json, Rest, Unreachable

#: Seconds between two looks: quick at first, since most operations end in 30 ms.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.5

ENDED = frozenset({"succeeded", "failed"})

Say = Callable[[str], None]


class Unfinished(ClientError):
    """The user's patience ended before the operation did."""


def wait_for(rest: Rest, operation_id: str, patience: float) -> Json:
    """The operation once it has ended, well or not. Raises ``Unfinished`` after ``patience`` seconds."""
    began = time.monotonic()
    pause = SHORTEST_PAUSE
    with _progress() as say:
        while True:
            look, ended = _look(rest, operation_id)
            if ended is not None:
                return ended
            passed = time.monotonic() - began
            if passed > patience:
                raise Unfinished(f"operation {operation_id} is still {look} after {duration(passed)}; it goes on")
            say(f"{look} ({duration(passed)})")
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)


def _look(rest: Rest, operation_id: str) -> tuple[str, Json | None]:
    """What there is to say, and the operation if it has ended."""
    try:
        operation: Json = rest.get(f"/operations/{operation_id}")["operation"]
    except Unreachable as error:
        return f"waiting for the server: {error}", None
    return describe(operation), operation if operation["state"] in ENDED else None


def describe(operation: Json) -> str:
    """``volume.create running: provision``, in one line."""
    steps = operation.get("timeline") or []
    detail = operation.get("wait_reason") or (steps[-1].get("step") if steps else None)
    return f"{operation['kind']} {operation['state']}" + (f": {detail}" if detail else "")


@contextmanager
def _progress() -> Iterator[Say]:
    if sys.stderr.isatty():
        with console(to_stderr=True).status("") as status:
            yield status.update
    else:
        yield _Lines().say


class _Lines:
    """Where there is no terminal: a line when something new is to be said, and not for every look."""

    def __init__(self) -> None:
        self._last = ""

    def say(self, text: str) -> None:
        news = text.rpartition(" (")[0]
        if news != self._last:
            self._last = news
            print(text, file=sys.stderr, flush=True)

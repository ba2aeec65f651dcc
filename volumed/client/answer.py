"""What a command has to say: one document for machines, one picture for people, one exit status."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from volumed.client.rest import Json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

#: Exit statuses; README lists them.
OK, FAILED, USAGE, UNREACHABLE, UNFINISHED = 0, 1, 2, 3, 4

#: Colours of what a status means; every other word stands plain.
_COLOURS = {
    "available": "green",
    "succeeded": "green",
    "up": "green",
    "done": "green",
    "in-use": "cyan",
    "failed": "red",
    "error": "red",
    "down": "red",
}

#: Columns that are never folded, beside the first one.
_UNBROKEN = frozenset({"GiB", "status", "state", "kind", "took"})


@dataclass(frozen=True, slots=True)
class Answer:
    """``document`` is printed by ``--json``; ``picture`` is what people see, made only when it is needed."""

    document: Json
    picture: Callable[[], "RenderableType"]
    exit_status: int = OK


def print_answer(answer: Answer, as_json: bool) -> None:
    """Print to stdout."""
    if as_json:
        print_document(answer.document)
    else:
        console().print(answer.picture())


def print_document(document: Json) -> None:
    """Print one JSON document."""
    import json

    print(json.dumps(document, indent=2, ensure_ascii=False))


def console(to_stderr: bool = False) -> "Console":
    """Where people read; a pipe gets lines that are not broken at 80 columns."""
    from rich.console import Console

    found = Console(stderr=to_stderr, highlight=False, markup=False)
    if not found.is_terminal:
        found.width = 240
    return found


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> "RenderableType":
    """A table; in a narrow terminal long texts are folded, ids and statuses never."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        drawn.add_column(column, no_wrap=number == 0 or column in _UNBROKEN, overflow="fold")
    for row in rows:
        drawn.add_row(*(cell(value) for value in row))
    return drawn


def sheet(facts: Iterable[tuple[str, Any]]) -> "RenderableType":
    """One thing, a line for each fact; facts that are not there are left out."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, show_header=False)
    drawn.add_column(style="bold", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in facts:
        if value not in (None, "", {}, []):
            drawn.add_row(name, cell(value))
    return drawn


def cell(value: Any) -> "Text":
    """One value as people read it."""
    from rich.text import Text

    if value is None:
        return Text("-", style="dim")
    if isinstance(value, Text):
        return value
    if isinstance(value, dict):
        value = ", ".join(f"{name}={item}" for name, item in value.items()) or "-"
    text = str(value)
    style = "red" if text.startswith("error") else _COLOURS.get(text, "")
    return Text(text, style=style)

"""Pictures of what the server recorded: the timeline of operations, the decision of a placement."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from volumed.client.answer import cell, table
from volumed.client.moments import between, clock, duration
from volumed.client.rest import Json


def draw_timeline(operations: Sequence[Json]) -> RenderableType:
    """Each operation with its steps: when it began after the operation, how long it took, how it ended."""
    return Group(*_spaced(_draw_operation(operation) for operation in operations))


def _draw_operation(operation: Json) -> RenderableType:
    passed = between(operation["created_at"], operation["ended_at"])
    head = Text.assemble((f"{operation['kind']} ", "bold"), cell(operation["state"]))
    head.append(f" after {duration(passed)}" if passed is not None else f" since {clock(operation['created_at'])}")
    asked = Text(
        f"  asked {clock(operation['created_at'])} by {operation['request_id']}\n"
        f"  operation {operation['id']}\n"
        f"  {operation['resource_type']} {operation['resource_id']}",
        style="dim",
    )
    return Group(head, asked, *_draw_steps(operation), *_remarks(operation))


def _draw_steps(operation: Json) -> Iterator[RenderableType]:
    steps = operation.get("timeline") or []
    if not steps:
        return
    drawn = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column(justify="right", min_width=12)
    drawn.add_column(no_wrap=True)
    drawn.add_column(justify="right")
    drawn.add_column()
    for step in steps:
        drawn.add_row(
            f"+{duration(_after(operation['created_at'], step['start']))}",
            _step_name(step),
            duration(between(step["start"], step.get("end"))),
            cell(step.get("outcome") or "under way"),
            Text(str(step.get("error") or ""), style="red"),
        )
    yield drawn


def _after(asked: str, start: str) -> float:
    # Two clocks: the database's and the node's.
    return max(between(asked, start) or 0.0, 0.0)


def _step_name(step: Json) -> str:
    undone = "undo " if step.get("direction") == "undo" else ""
    again = f" (attempt {step['attempt']})" if (step.get("attempt") or 1) > 1 else ""
    return f"{undone}{step['step']}{again}"


def _remarks(operation: Json) -> Iterator[Text]:
    if operation.get("wait_reason"):
        yield Text(f"  waits: {operation['wait_reason']}", style="yellow")
    for attempt in operation.get("tried") or []:
        error = attempt.get("error") or {}
        yield Text(f"  tried {attempt.get('host')}: {error.get('message')}", style="yellow")
    if operation.get("error"):
        yield Text(f"  error: {operation['error'].get('message')}", style="red")


def _spaced(pictures: Iterable[RenderableType]) -> Iterator[RenderableType]:
    for number, picture in enumerate(pictures):
        if number:
            yield Text("")
        yield picture


def draw_placement(placement: Json) -> RenderableType:
    """The decision in one sentence, the counts by filter, what was tried before, the candidates with their numbers."""
    chosen = placement.get("chosen")
    considered = placement.get("considered", 0)
    verdict = Text.assemble(("placed on ", ""), (chosen, "bold green")) if chosen else Text("no valid backend", "red")
    verdict.append(f"   {considered} pool{'' if considered == 1 else 's'} considered")
    lines = [Text(f"  {name} put {count} out") for name, count in (placement.get("counts") or {}).items()]
    return Group(verdict, *lines, *_remarks(placement), *_draw_candidates(placement.get("candidates") or []))


def _draw_candidates(candidates: Sequence[Json]) -> Iterator[RenderableType]:
    if not candidates:
        return
    yield table(
        ("pool", "passed", "weight", "why"),
        (
            (
                each["host"],
                "yes" if each["passed"] else "no",
                each["weight"],
                _weights(each) if each["passed"] else f"{each['filter']}: {each['reason']}",
            )
            for each in candidates
        ),
    )


def _weights(candidate: Json) -> str | None:
    return ", ".join(f"{name} {share:g}" for name, share in (candidate.get("weights") or {}).items()) or None

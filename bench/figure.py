"""A figure: what was measured, and the raw cost of the same work from the same run."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """``value`` and ``raw`` in ``unit``; ``guide`` is what the value should stay near, in words."""

    name: str
    value: float
    unit: str
    guide: str
    raw: float | None
    #: What the raw work is.
    beside: str
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times the raw cost we need; 1 is as good as it gets."""
        if not self.raw or not self.value:
            return None
        return self.raw / self.value if self.more_is_better else self.value / self.raw


def print_table(figures: Sequence[Figure]) -> None:
    """All figures, a line each."""
    head = ("figure", "measured", "guide", "raw", "ratio", "the raw work")
    rows = [head, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        f"{_number(figure.value)} {figure.unit}",
        figure.guide,
        "-" if figure.raw is None else f"{_number(figure.raw)} {figure.unit}",
        "-" if figure.ratio is None else f"{_number(figure.ratio)} x",
        figure.beside,
    )


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def p50(work: Callable[[], object], rounds: int) -> float:
    """Median of ``rounds`` runs, in milliseconds."""
    return statistics.median(milliseconds(work) for _ in range(rounds))


def milliseconds(work: Callable[[], object]) -> float:
    """How long one run takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000

"""What an operation did and when: steps with start, end and outcome, kept with its row."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from volumed.model.errors import VolumedError
from volumed.model.records import Json
from volumed.operations.locks import ResourceLocked

#: Entries kept of an operation that is tried again and again: failures before what went well, and where each began.
MOST_ENTRIES = 200


def present() -> int:
    """This node's time in microseconds since the epoch; only durations and order are read from a timeline."""
    return time.time_ns() // 1000


class Timeline:
    """The steps of one operation so far. ``earlier`` is what the row had when it was claimed."""

    def __init__(self, earlier: list[Json], attempt: int, clock: Callable[[], int] = present) -> None:
        self.entries = list(earlier)
        self._attempt = attempt
        self._clock = clock

    @contextmanager
    def step(self, name: str, direction: str = "do") -> Iterator[Json]:
        """Note the step while it runs; an error inside is noted with it and goes on its way.

        A step that has to wait for another holder has not begun, and is not noted.
        """
        entry: Json = {"step": name, "direction": direction, "attempt": self._attempt, "start": self._clock()}
        self._append(entry)
        try:
            yield entry
        except ResourceLocked:
            self.entries.remove(entry)
            raise
        except BaseException as error:
            entry |= {"end": self._clock(), "outcome": "failed", "error": describe(error)["message"]}
            raise
        entry |= {"end": self._clock(), "outcome": "done"}

    def failures(self) -> int:
        """How many steps failed in this attempt."""
        return sum(
            1
            for entry in self.entries
            if entry.get("outcome") == "failed" and entry["direction"] == "do" and entry["attempt"] == self._attempt
        )

    def failing_since(self) -> int | None:
        """When the first step that failed in this attempt began, None when none failed."""
        starts = (
            entry["start"]
            for entry in self.entries
            if entry.get("outcome") == "failed" and entry["direction"] == "do" and entry["attempt"] == self._attempt
        )
        return min(starts, default=None)

    def undoing_since(self) -> int | None:
        """When this attempt's undo began, None before."""
        starts = (
            entry["start"]
            for entry in self.entries
            if entry["direction"] == "undo" and entry["attempt"] == self._attempt
        )
        return min(starts, default=None)

    def _append(self, entry: Json) -> None:
        if len(self.entries) >= MOST_ENTRIES:
            del self.entries[self._dispensable()]
        self.entries.append(entry)

    def _dispensable(self) -> int:
        """The oldest entry that tells least. The first of an attempt or undo stays: its age is counted from there."""
        firsts: dict[tuple[int, str], int] = {}
        for position, entry in enumerate(self.entries):
            firsts.setdefault((entry["attempt"], entry["direction"]), position)
        others = [position for position in range(len(self.entries)) if position not in firsts.values()]
        done = (position for position in others if self.entries[position].get("outcome") == "done")
        return next(done, others[0] if others else 0)


def describe(error: BaseException) -> Json:
    """An error as rows hold it. What volumed did not raise itself is named by its class only in front."""
    if isinstance(error, VolumedError):
        return error.as_record()
    return {"type": type(error).__name__, "message": f"{type(error).__name__}: {error}"}

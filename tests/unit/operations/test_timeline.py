"""What an operation did, kept short without losing what is counted from it."""

import itertools

import pytest

from volumed.model.errors import BackendFull
from volumed.operations.timeline import MOST_ENTRIES, Timeline


def fail(timeline: Timeline, step: str, direction: str) -> None:
    with pytest.raises(BackendFull), timeline.step(step, direction):
        raise BackendFull(backend="disk", what="a volume", reason="no room")


def pass_by(timeline: Timeline, step: str, direction: str) -> None:
    with timeline.step(step, direction):
        pass


def test_a_step_is_noted_with_its_error() -> None:
    timeline = Timeline([], 0, clock=itertools.count(5).__next__)
    fail(timeline, "provision", "do")
    assert timeline.entries == [
        {
            "step": "provision",
            "direction": "do",
            "attempt": 0,
            "start": 5,
            "end": 6,
            "outcome": "failed",
            "error": "disk cannot hold a volume: no room",
        }
    ]


def test_an_undo_is_as_old_as_its_beginning_however_often_it_was_tried() -> None:
    """Two attempts of a hundred rounds each: the second undo must still become overdue."""
    timeline = Timeline([], 0)
    for _ in range(100):
        pass_by(timeline, "export", "undo")
        fail(timeline, "provision", "undo")
    timeline = Timeline(timeline.entries, 1)
    fail(timeline, "provision", "do")
    assert timeline.undoing_since() is None
    pass_by(timeline, "export", "undo")
    began = timeline.undoing_since()
    for _ in range(100):
        fail(timeline, "provision", "undo")
        pass_by(timeline, "export", "undo")
    assert timeline.undoing_since() == began
    assert len(timeline.entries) == MOST_ENTRIES


def test_failures_are_counted_however_many_other_steps_stand_between_them() -> None:
    timeline = Timeline([], 0)
    for _ in range(100):
        pass_by(timeline, "unexport", "do")
        pass_by(timeline, "remove_snapshots", "do")
        fail(timeline, "remove", "do")
    assert timeline.failures() == 100

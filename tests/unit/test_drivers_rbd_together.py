"""Changes that threads make together: what comes while one is under way is one change, and nothing is lost."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from volumed_drivers.rbd.together import Change, Together


class Slow:
    """Notes the changes; the first one waits for ``go``."""

    def __init__(self) -> None:
        self.made: list[tuple[dict[str, bytes | None], bool]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.together = Together(self._write)

    def _write(self, change: Change) -> None:
        is_first = not self.made
        self.made.append((dict(change.entries), change.waits))
        if is_first:
            self.begun.set()
            assert self.go.wait(30)
        elif self.error is not None:
            raise self.error


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    first = threading.Thread(target=slow.together.change, args=("first", b"1"))
    first.start()
    assert slow.begun.wait(30)
    yield slow
    slow.go.set()
    first.join(30)


def start(*calls: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    return threads


def until_next_has(slow: Slow, number: int) -> None:
    deadline = time.monotonic() + 30
    while len(slow.together._next.entries) < number:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_comes_while_a_change_is_under_way_is_one_change(slow: Slow) -> None:
    threads = start(lambda: slow.together.change("b", b"2"), lambda: slow.together.change("c", b"3"))
    until_next_has(slow, 2)
    slow.together.remove_later("a")
    slow.go.set()
    for thread in threads:
        thread.join(30)
    assert slow.made == [({"first": b"1"}, True), ({"a": None, "b": b"2", "c": b"3"}, True)]


def test_what_nobody_waits_for_is_made_all_the_same(slow: Slow) -> None:
    slow.together.remove_later("a")
    slow.together.remove_later("b")
    assert len(slow.made) == 1
    slow.go.set()
    deadline = time.monotonic() + 30
    while len(slow.made) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert slow.made[1] == ({"a": None, "b": None}, False)
    slow.together.remove_later("c")
    assert slow.made[2] == ({"c": None}, False)


def test_a_failure_is_everybodys_whose_entry_was_in_it_and_the_next_change_is_a_new_one(slow: Slow) -> None:
    slow.error = OSError("no answer")
    heard: list[BaseException] = []

    def set_and_hear(key: str) -> None:
        try:
            slow.together.change(key, b"")
        except OSError as error:
            heard.append(error)

    threads = start(lambda: set_and_hear("b"), lambda: set_and_hear("c"))
    until_next_has(slow, 2)
    slow.go.set()
    for thread in threads:
        thread.join(30)
    assert heard == [slow.error] * 2
    slow.together.remove_later("of which nobody hears")
    slow.error = None
    slow.together.change("d", b"4")
    assert slow.made[-1] == ({"d": b"4"}, True)


def test_what_is_left_for_later_goes_with_an_announced_change_or_when_none_is_announced_any_more(slow: Slow) -> None:
    slow.go.set()
    slow.together.change("second", b"")
    slow.made.pop()
    with slow.together.more_to_come():
        with slow.together.more_to_come():
            slow.together.remove_later("a")
        assert len(slow.made) == 1
        slow.together.change("b", b"2")
        slow.together.remove_later("c")
        assert slow.made[1:] == [({"a": None, "b": b"2"}, True)]
    assert slow.made[2:] == [({"c": None}, False)]
    slow.together.remove_later("d")
    assert slow.made[3:] == [({"d": None}, False)]


def test_what_is_to_be_new_is_told_of_the_change_that_it_is_in_only(slow: Slow) -> None:
    news: list[tuple[str, ...]] = []
    together = Together(lambda change: news.append(tuple(sorted(change.new))))
    together.change("a", b"1", is_new=True)
    together.change("a", b"2")
    with together.more_to_come():
        together.remove_later("b")
        together.change("b", b"3", is_new=True)
    assert news == [("a",), (), ("b",)]


def test_what_nobody_waits_for_outlives_the_failure_of_anothers_part(slow: Slow) -> None:
    slow.go.set()
    slow.together.change("second", b"")
    slow.made.pop()
    slow.error = OSError("there already")
    with slow.together.more_to_come():
        slow.together.remove_later("a")
        slow.together.remove_later("b")
        with pytest.raises(OSError, match="there already"):
            slow.together.change("c", b"3", is_new=True)
        slow.error = None
        slow.together.change("b", b"2")
    assert slow.made[2:] == [({"a": None, "b": b"2"}, True)]

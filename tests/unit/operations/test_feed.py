"""The feed: each listener is told everything once and in order, whatever the others and the database do."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from volumed.db import events
from volumed.db.engine import Database
from volumed.db.events import Wanted
from volumed.model.errors import EventsForgotten, UnknownPosition
from volumed.model.records import Event
from volumed.operations.feed import PAGE, Feed

PATIENCE = 60.0


class Told:
    """A listener that a test directs. ``deaf``: it takes nothing for now."""

    def __init__(self, wanted: Wanted = Wanted(), position: int = 0) -> None:
        self.wanted = wanted
        self.position = position
        self.seen: list[int] = []
        self.deaf = False
        self.over = False
        self.ended = threading.Event()
        self.trouble: Exception | None = None

    def is_ready(self) -> bool:
        return not self.deaf

    def take(self, page: Sequence[Event], position: int) -> None:
        self.seen += [each.position or 0 for each in page if self.wanted.has(each)]
        self.position = position

    def look(self) -> bool:
        if self.trouble is not None:
            raise self.trouble
        return not self.over

    def end(self) -> None:
        self.over = True
        self.ended.set()


@pytest.fixture
def feed(database: Database) -> Iterator[Feed]:
    feed = Feed(database)
    yield feed
    feed.stop()


@pytest.fixture
def happen(database: Database) -> Callable[..., None]:
    def write(count: int = 1, resource_id: str = "v", project_id: str = "p") -> None:
        for _ in range(count):
            database.write(events.add, "volume", resource_id, project_id, "volume.create.start", {})

    return write


def wait_until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_many_listeners_from_many_places_see_all_that_is_theirs(feed: Feed, happen: Callable[..., None]) -> None:
    happen(PAGE + 50)
    happen(20, "w", "q")
    total = PAGE + 70
    listeners = [
        Told(),
        Told(),
        Told(position=total),
        Told(Wanted(project_id="q")),
        Told(Wanted(resource_id="v"), position=PAGE),
    ]
    for listener in listeners:
        feed.add(listener)
    wait_until(lambda: all(listener.position == total for listener in listeners))
    happen(3, "w", "q")
    wait_until(lambda: all(listener.position == total + 3 for listener in listeners))
    everything, theirs = list(range(1, total + 4)), list(range(PAGE + 51, total + 4))
    assert listeners[0].seen == listeners[1].seen == everything
    assert listeners[2].seen == [total + 1, total + 2, total + 3]
    assert listeners[3].seen == theirs
    assert listeners[4].seen == list(range(PAGE + 1, PAGE + 51))


def test_a_deaf_listener_loses_nothing_and_keeps_nobody(feed: Feed, happen: Callable[..., None]) -> None:
    deaf, other = Told(), Told()
    deaf.deaf = True
    feed.add(deaf)
    feed.add(other)
    happen(5)
    wait_until(lambda: other.seen == [1, 2, 3, 4, 5])
    assert deaf.seen == []
    deaf.deaf = False
    wait_until(lambda: deaf.seen == [1, 2, 3, 4, 5])


def test_one_listeners_trouble_is_not_the_others(feed: Feed, happen: Callable[..., None]) -> None:
    bad, good = Told(), Told()
    bad.trouble = RuntimeError("a bug")
    feed.add(bad)
    feed.add(good)
    happen()
    wait_until(lambda: good.seen == [1])
    assert bad.ended.wait(PATIENCE)


def test_the_thread_lives_while_somebody_listens(feed: Feed, happen: Callable[..., None]) -> None:
    listener = Told()
    feed.add(listener)
    listener.over = True
    wait_until(lambda: "feed of events" not in {thread.name for thread in threading.enumerate()})
    later = Told()
    feed.add(later)
    happen()
    wait_until(lambda: later.seen == [1])


def test_a_database_that_is_away_is_asked_again(
    feed: Feed, happen: Callable[..., None], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Told()
    away = threading.Event()

    def fail(*arguments: Any) -> Any:
        away.set()
        raise ConnectionError("no database")

    with monkeypatch.context() as broken:
        broken.setattr(events, "positions", fail)
        feed.add(listener)
        assert away.wait(PATIENCE)
    happen(2)
    wait_until(lambda: listener.seen == [1, 2])


def test_who_is_so_slow_that_events_are_forgotten_is_ended_and_not_told_half(
    feed: Feed, happen: Callable[..., None], database: Database
) -> None:
    happen(3)
    slow, level = Told(position=1), Told(position=1)
    slow.deaf = True
    feed.add(slow)
    feed.add(level)
    wait_until(lambda: level.position == 3)
    with database.reading() as tx:
        old = [each.id for each in events.unpublished(tx)]
    database.write(events.mark_published, old)
    time.sleep(0.001)
    assert database.write(events.prune, 0.0) == 3
    slow.deaf = False
    assert slow.ended.wait(PATIENCE)
    assert slow.seen == []
    happen()
    wait_until(lambda: level.seen == [2, 3, 4])


def test_a_page_behind_what_is_forgotten_or_never_was_is_refused(
    feed: Feed, happen: Callable[..., None], database: Database
) -> None:
    happen(3)
    assert feed.positions().last == 3
    with database.reading() as tx:
        old = [each.id for each in events.unpublished(tx)][:2]
    database.write(events.mark_published, old)
    time.sleep(0.001)
    database.write(events.prune, 0.0)
    with pytest.raises(EventsForgotten, match="after=2"):
        feed.page(Wanted(), 1, 3)
    with pytest.raises(UnknownPosition, match="the last one is 3"):
        feed.page(Wanted(), 4, 3)
    assert [each.position for each in feed.page(Wanted(), 2, 3)[0]] == [3]
    assert [each.position for each in feed.page(Wanted(), None, 3)[0]] == [3]


def test_a_stop_ends_everybody_and_who_comes_later_too(feed: Feed) -> None:
    listeners = [Told(), Told()]
    for listener in listeners:
        feed.add(listener)
    feed.stop()
    late = Told()
    feed.add(late)
    assert all(each.over for each in (*listeners, late))
    assert "feed of events" not in {thread.name for thread in threading.enumerate()}

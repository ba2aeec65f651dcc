"""The stream of all events: positions grow as readers see them, and none is given twice."""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, text

from volumed.db import events, pools
from volumed.db.engine import Database
from volumed.db.events import Positions, Wanted


def tell(tx: Connection, resource: str, project: str = "p", event_type: str = "volume.create.start") -> None:
    """As an operation does: the resource's row first (a pool's stands for it), then the event."""
    pools.adjust(tx, resource, 0, 0)
    events.add(tx, "volume", resource, project, event_type, {})


def read(database: Database, wanted: Wanted = Wanted(), position: int = 0, limit: int = 1000) -> list[Any]:
    with database.reading() as tx:
        return events.behind(tx, wanted, position, events.positions(tx).last, limit)


def told(database: Database, *resources: str, project: str = "p") -> None:
    for resource in resources:
        database.write(pools.ensure, resource)
        database.write(tell, resource, project)


def test_an_event_is_read_once_it_is_numbered(database: Database) -> None:
    told(database, "a", "b", "a")
    assert read(database) == []
    assert database.write(events.number, 2) == 2
    assert database.write(events.number, 2) == 1
    assert database.write(events.number, 2) == 0
    assert [(each.position, each.resource_id, each.sequence) for each in read(database)] == [
        (1, "a", 1),
        (2, "b", 1),
        (3, "a", 2),
    ]
    with database.reading() as tx:
        assert not events.are_unnumbered(tx)
        assert events.positions(tx) == Positions(last=3, forgotten=0)


def test_no_number_of_a_resource_comes_again_once_its_events_are_forgotten(database: Database) -> None:
    """A listener drops what has a number that it has seen."""
    told(database, "b", "a", "a", "a")
    database.write(events.number)
    with database.engine.begin() as tx:
        tx.execute(text("UPDATE events SET created_at = 0, published = true"))
    assert database.write(events.prune, 1.0) == 4
    told(database, "a", "a", "b")
    database.write(events.number)
    numbers = [(each.resource_id, each.sequence) for each in read(database, position=4)]
    assert numbers == [("a", 5), ("a", 6), ("b", 5)]


def test_an_event_that_commits_late_is_behind_what_was_read_before(database: Database) -> None:
    """Ids as PostgreSQL gives them: the lower one becomes visible last. Nobody who has read the higher one loses it."""
    told(database, "a", "b")
    with database.engine.begin() as late:
        late.execute(text("UPDATE events SET id = 7 WHERE resource_id = 'b'"))
        late.execute(text("DELETE FROM events WHERE resource_id = 'a'"))
    database.write(events.number)
    (first,) = read(database)
    with database.engine.begin() as late:
        late.execute(
            text(
                "INSERT INTO events (id, resource_type, resource_id, sequence, project_id, event_type, payload,"
                " created_at, published) VALUES (1, 'volume', 'a', 1, 'p', 'volume.create.start', '{}', 0, false)"
            )
        )
    database.write(events.number)
    assert [(each.id, each.position) for each in read(database, position=first.position)] == [(1, 2)]


def test_many_who_number_at_once_give_each_position_once_and_a_reader_misses_none(
    database: Database, at_once: Callable[..., list[Any]]
) -> None:
    for resource in ("a", "b", "c"):
        database.write(pools.ensure, resource)

    def work(number: int) -> list[tuple[str, int]]:
        """Even ones write and number, odd ones read as a stream does, until all is there."""
        seen: list[tuple[str, int]] = []
        position, until = 0, time.monotonic() + 60
        for _ in range(20 if number % 2 == 0 else 0):
            database.write(tell, "abc"[number % 3])
            database.write(events.number, 3)
        while number % 2 and len(seen) < 80 and time.monotonic() < until:
            page = read(database, position=position, limit=7)
            seen += [(each.resource_id, each.sequence) for each in page]
            position = page[-1].position if page else position
        return seen

    readers = at_once(work, count=8)[1::2]
    while database.write(events.number):
        pass
    everything = read(database)
    assert [each.position for each in everything] == list(range(1, 81))
    for resource in "abc":
        counted = [each.sequence for each in everything if each.resource_id == resource]
        assert counted == list(range(1, len(counted) + 1))
    for seen in readers:
        assert seen == [(each.resource_id, each.sequence) for each in everything]


def test_each_sees_what_he_wants(database: Database) -> None:
    told(database, "a", project="p")
    told(database, "b", project="q")
    database.write(tell, "b", "q", "volume.create.end")
    database.write(events.number)
    for wanted, expected in (
        (Wanted(), [1, 2, 3]),
        (Wanted(project_id="q"), [2, 3]),
        (Wanted(resource_id="a"), [1]),
        (Wanted(event_type="volume.create.start"), [1, 2]),
        (Wanted(project_id="p", resource_id="b"), []),
    ):
        found = read(database, wanted)
        assert [each.position for each in found] == expected
        assert found == [each for each in read(database) if wanted.has(each)]


def test_what_is_forgotten_is_remembered_by_its_position_and_no_position_comes_again(database: Database) -> None:
    told(database, "a", "b", "a")
    database.write(events.number)
    first, second, _ = read(database)
    database.write(events.mark_published, [first.id, second.id])
    time.sleep(0.001)
    assert database.write(events.prune, 0.0) == 2
    with database.reading() as tx:
        assert events.positions(tx) == Positions(last=3, forgotten=2)
    database.write(events.mark_published, [each.id for each in read(database)])
    time.sleep(0.001)
    database.write(events.prune, 0.0)
    told(database, "a")
    database.write(events.number)
    assert [each.position for each in read(database)] == [4]

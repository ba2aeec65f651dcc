"""The outbox: at least once, in order for each resource, by one publisher at a time."""

import uuid
from collections.abc import Callable

import pytest

from volumed.db import events
from volumed.db.engine import Database
from volumed.operations import housekeeping
from volumed.operations.housekeeping import Housekeeping
from volumed.operations.publisher import Publisher


@pytest.fixture
def happened(database: Database) -> Callable[[str, str], None]:
    def write(resource_id: str, event_type: str) -> None:
        database.write(events.add, "volume", resource_id, "p", event_type, {"volume_id": resource_id})

    return write


def test_events_are_sent_in_order_and_once(database: Database, happened: Callable[[str, str], None]) -> None:
    for event_type in ("volume.create.start", "volume.create.end", "volume.delete.start"):
        happened("v", event_type)
    sent = []
    publisher = Publisher(database, sent.append, holder="one")
    publisher.publish()
    publisher.publish()
    assert [(event.event_type, event.sequence) for event in sent] == [
        ("volume.create.start", 1),
        ("volume.create.end", 2),
        ("volume.delete.start", 3),
    ]


def test_what_could_not_be_sent_is_sent_later_and_nothing_overtakes_it(
    database: Database, happened: Callable[[str, str], None]
) -> None:
    happened("v", "first")
    happened("v", "second")
    sent, away = [], [True]

    def send(event: object) -> None:
        if away:
            away.pop()
            raise ConnectionError("no broker")
        sent.append(event)

    publisher = Publisher(database, send, holder="one")
    publisher.publish()
    assert sent == []
    publisher.publish()
    assert [event.event_type for event in sent] == ["first", "second"]


def test_one_of_two_publishers_publishes(database: Database, happened: Callable[[str, str], None]) -> None:
    happened("v", "first")
    sent: list[tuple[str, str]] = []
    publishers = [
        Publisher(database, lambda event, name=name: sent.append((name, event.event_type)), holder=name)
        for name in ("one", "two")
    ]
    for publisher in publishers:
        publisher.publish()
    happened("v", "second")
    for publisher in reversed(publishers):
        publisher.publish()
    assert sent == [("one", "first"), ("one", "second")]


def test_only_what_was_published_and_ended_is_forgotten(
    database: Database,
    happened: Callable[[str, str], None],
    queued: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "SPACING", 0.0)
    happened("v", "first")
    live = queued()
    tidy = Housekeeping(database, "one", operation_retention=-1, idempotency_retention=-1).tidy
    tidy()
    with database.reading() as tx:
        assert len(events.unpublished(tx)) == 1
    Publisher(database, lambda event: None, holder=str(uuid.uuid4())).publish()
    tidy()
    from sqlalchemy import select

    from volumed.db.tables import events as rows
    from volumed.db.tables import operations

    with database.reading() as tx:
        assert tx.execute(select(rows)).all() == []
        assert [row.id for row in tx.execute(select(operations))] == [live]

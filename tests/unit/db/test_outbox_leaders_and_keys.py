"""Events are numbered without a gap, one process leads, and an Idempotency-Key is taken once."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from volumed.db import events, idempotency, leaders, pools
from volumed.db.engine import Database
from volumed.db.idempotency import KeyOwner, Remembered

OWNER = KeyOwner("p", "u", "key")


def tell(tx: Connection, resource: str, number: int) -> None:
    """As an operation does: the resource's row first (a pool's stands for it), then the event."""
    pools.adjust(tx, resource, 0, 0)
    events.add(tx, "volume", resource, "p", "volume.create.start", {"number": number})


def test_events_are_numbered_from_one_without_gap_or_repeat(
    database: Database, at_once: Callable[..., list[Any]]
) -> None:
    for resource in ("a", "b"):
        database.write(pools.ensure, resource)
    at_once(lambda number: [database.write(tell, "ab"[round % 2], number) for round in range(6)], count=12)
    with database.reading() as tx:
        told = events.unpublished(tx, 1000)
    for resource in ("a", "b"):
        assert [each.sequence for each in told if each.resource_id == resource] == list(range(1, 37))
    assert [each.id for each in told] == sorted({each.id for each in told})


def test_only_published_events_are_forgotten(database: Database) -> None:
    for number in range(3):
        database.write(tell, "a", number)
    with database.reading() as tx:
        first, second, third = events.unpublished(tx)
    database.write(events.mark_published, [first.id, third.id])
    time.sleep(0.001)
    assert database.write(events.prune, 0.0) == 2
    with database.reading() as tx:
        assert events.unpublished(tx) == [second]


def test_of_sixteen_one_leads(database: Database, at_once: Callable[..., list[Any]]) -> None:
    led = at_once(lambda number: leaders.lead(database, "task", f"process-{number}", 60))
    assert led.count(True) == 1


def test_the_leader_stays_it_until_it_is_silent(database: Database) -> None:
    assert leaders.lead(database, "task", "first", 60)
    assert not leaders.lead(database, "task", "second", 60)
    assert leaders.lead(database, "task", "first", 0.05)
    time.sleep(0.06)
    assert leaders.lead(database, "task", "second", 60)
    assert not leaders.lead(database, "task", "first", 60)
    assert leaders.lead(database, "another task", "first", 60)


def test_a_term_that_was_begun_before_the_clock_was_set_back_is_over(database: Database) -> None:
    assert leaders.lead(database, "task", "first", 7200)
    assert leaders.lead(database, "task", "second", 60)
    assert not leaders.lead(database, "task", "first", 60)


def test_a_turn_is_taken_by_whoever_asks_first_when_it_is_time(
    database: Database, at_once: Callable[..., list[Any]]
) -> None:
    assert leaders.turn(database, "task", "first", 2)
    assert not leaders.turn(database, "task", "first", 2)
    assert not leaders.turn(database, "task", "second", 2)
    time.sleep(2.05)
    taken = at_once(lambda number: leaders.turn(database, "task", f"process-{number}", 60))
    assert taken.count(True) == 1
    assert not leaders.turn(database, "task", "first", 60)


def test_a_turn_that_was_given_before_the_clock_was_set_back_is_over(database: Database) -> None:
    assert leaders.turn(database, "task", "first", 86400)
    assert leaders.turn(database, "task", "second", 60)


def test_a_key_is_taken_once(database: Database, at_once: Callable[..., list[Any]]) -> None:
    def take(number: int) -> bool:
        try:
            database.write(idempotency.add, OWNER, Remembered("hash", 202, "volume", f"v{number}"))
        except IntegrityError:
            return False
        return True

    taken = at_once(take)
    assert taken.count(True) == 1
    with database.reading() as tx:
        assert idempotency.find(tx, OWNER) == Remembered("hash", 202, "volume", f"v{taken.index(True)}")


@pytest.mark.parametrize(
    "other",
    [KeyOwner("p2", "u", "key"), KeyOwner("p", "u2", "key"), KeyOwner("p", "u", "key2"), KeyOwner("p", "u", "KEY")],
)
def test_a_key_belongs_to_a_user_of_a_project(database: Database, other: KeyOwner) -> None:
    database.write(idempotency.add, OWNER, Remembered("hash", 202, "volume", "v"))
    with database.reading() as tx:
        assert idempotency.find(tx, other) is None
    database.write(idempotency.add, other, Remembered("other", 202, "volume", "w"))


def test_a_key_is_free_again_after_its_time(database: Database) -> None:
    database.write(idempotency.add, OWNER, Remembered("hash", 202, "volume", "v"))
    assert not database.write(idempotency.forget_expired, OWNER, 60.0)
    assert database.write(idempotency.prune, 60.0) == 0
    time.sleep(0.001)
    assert database.write(idempotency.forget_expired, OWNER, 0.0)
    with database.reading() as tx:
        assert idempotency.find(tx, OWNER) is None

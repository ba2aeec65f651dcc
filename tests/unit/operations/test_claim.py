"""Who may take an operation, and what a worker that lost it may still write."""

import threading
import uuid
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volumed.db import operations
from volumed.db.engine import Database
from volumed.model.errors import LostHold
from volumed.model.states import OPERATION_MOVES, OperationState

QUEUE = "node@disk"


def claim(database: Database, operation_id: str, worker: str, dropped: bool = False):
    return database.write(operations.claim, operation_id, QUEUE, worker, str(uuid.uuid4()), dropped)


def read(database: Database, operation_id: str):
    with database.reading() as tx:
        return operations.get(tx, operation_id)


def test_a_queued_operation_is_claimed_once(database: Database, queued: Callable[..., str]) -> None:
    operation_id = queued()
    first = claim(database, operation_id, "worker-1")
    assert first is not None
    assert (first.state, first.worker, first.epoch, first.claims) == ("running", "worker-1", 1, 1)
    assert claim(database, operation_id, "worker-1") is None


def test_what_is_taken_up_again_keeps_its_lane_and_its_claims(database: Database, queued: Callable[..., str]) -> None:
    long, short, other = queued(lane="long"), queued(), queued()
    claim(database, long, "worker-1")
    with database.reading() as tx:
        due = {each.id: (each.lane, each.claims) for each in operations.due_again(tx, [long, short])}
    assert due == {long: ("long", 1), short: ("short", 0)}
    assert other not in due


def test_of_sixteen_threads_one_gets_it(database: Database, queued: Callable[..., str]) -> None:
    operation_id = queued()
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(claim(database, operation_id, "worker-1"))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([each for each in got if each is not None]) == 1


def test_another_queue_gets_nothing(database: Database, queued: Callable[..., str]) -> None:
    assert claim(database, queued(queue="elsewhere@disk"), "worker-1") is None


def test_what_another_incarnation_left_is_taken_over_at_once(database: Database, queued: Callable[..., str]) -> None:
    operation_id = queued()
    lost = claim(database, operation_id, "worker-1")
    found = claim(database, operation_id, "worker-2")
    assert (found.worker, found.epoch, found.state) == ("worker-2", 2, "running")
    with pytest.raises(LostHold):
        database.write(operations.succeed, lost, [])
    assert read(database, operation_id).state == "running"
    database.write(operations.succeed, found, [])
    assert read(database, operation_id).live_key is None


def test_an_undo_is_taken_over_as_an_undo(database: Database, queued: Callable[..., str]) -> None:
    operation_id = queued()
    database.write(operations.begin_undo, claim(database, operation_id, "worker-1"), {"message": "no"}, [])
    assert claim(database, operation_id, "worker-2").state == "undoing"


def test_what_waits_is_not_taken_before_its_time(database: Database, queued: Callable[..., str]) -> None:
    operation_id = queued()
    database.write(operations.wait, claim(database, operation_id, "worker-1"), "a reason", 60.0, [])
    assert claim(database, operation_id, "worker-1") is None
    assert read(database, operation_id).wait_reason == "a reason"


def test_a_dropped_operation_is_taken_again_by_its_own_worker(database: Database, queued: Callable[..., str]) -> None:
    operation_id = queued()
    claim(database, operation_id, "worker-1")
    assert claim(database, operation_id, "worker-1", dropped=True).epoch == 2


def test_a_second_live_operation_on_a_resource_is_impossible(database: Database, queued: Callable[..., str]) -> None:
    from sqlalchemy.exc import IntegrityError

    queued(resource_id="r", volume_id="r")
    with pytest.raises(IntegrityError):
        queued(resource_id="r", volume_id="r")


def test_after_its_end_a_resource_is_free_again(database: Database, queued: Callable[..., str]) -> None:
    first = queued(resource_id="r", volume_id="r")
    database.write(operations.fail, claim(database, first, "worker-1"), {"message": "no"}, [])
    queued(resource_id="r", volume_id="r")


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["claim", "crash", "succeed", "fail", "undo", "wait", "requeue", "pause"]),
        st.sampled_from(["worker-1", "worker-2"]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_only_the_last_claim_writes_and_ends_are_final(
    database: Database, queued: Callable[..., str], actions: list[tuple[str, str]]
) -> None:
    """Whatever workers do in whatever order: a stale one changes nothing, and states move along the table."""
    operation_id = queued(resource_id=str(uuid.uuid4()), volume_id="v")
    holds: dict[str, object] = {}
    for action, worker in actions:
        before = read(database, operation_id)
        if action == "claim":
            if (found := claim(database, operation_id, worker)) is not None:
                holds[worker] = found
                assert found.epoch == before.epoch + 1
        elif action == "crash":
            holds.pop(worker, None)
        elif worker in holds:
            held = holds[worker]
            valid = held.epoch == before.epoch and _target(action) in OPERATION_MOVES.get(before.state, ())
            valid = valid and before.state in ("running", "undoing")
            try:
                _write(database, action, held)
                assert valid
            except LostHold:
                assert not valid
                assert read(database, operation_id) == before
        after = read(database, operation_id)
        if after.state != before.state:
            assert after.state in OPERATION_MOVES[OperationState(before.state)]
        if before.state in ("succeeded", "failed"):
            assert after == before


def _target(action: str) -> str:
    return {
        "succeed": "succeeded",
        "fail": "failed",
        "undo": "undoing",
        "wait": "waiting",
        "pause": "undoing",
        "requeue": "queued",
    }[action]


def _write(database: Database, action: str, held: object) -> None:
    writes = {
        "succeed": (operations.succeed, []),
        "fail": (operations.fail, {"message": "no"}, []),
        "undo": (operations.begin_undo, {"message": "no"}, []),
        "wait": (operations.wait, "because", 0.0, []),
        "pause": (operations.pause_undo, "because", 0.0, []),
        "requeue": (operations.requeue, QUEUE, [], {"message": "no"}, []),
    }
    write, *arguments = writes[action]
    database.write(write, held, *arguments)

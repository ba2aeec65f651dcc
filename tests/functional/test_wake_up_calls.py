"""A message is a wake-up call and nothing more: twice, for nothing, for another's, or lost, it changes no outcome."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.lab import rows
from tests.lab.faulty_fleet import Fleet, faulty_fleet
from tests.lab.nursery import ForkedDaemon


@pytest.fixture(scope="module")
def shared(deployed: str) -> Iterator[Fleet]:
    with faulty_fleet("one", "two") as fleet:
        yield fleet


@pytest.fixture
def fleet(shared: Fleet) -> Iterator[Fleet]:
    """The module's fleet; at the end of each test it is empty and nothing differs."""
    yield shared
    for volume in shared.rest.get("/volumes").json()["volumes"]:
        shared.delete(volume["id"])
    shared.wait_until_settled()


def insert_delete(fleet: Fleet, volume_id: str, queue: str) -> str:
    """The rows of an accepted delete whose message was lost, written past the daemon."""
    operation_id = str(uuid.uuid4())
    now = time.time_ns() // 1000
    values: dict[str, Any] = {
        "id": operation_id,
        "kind": "volume.delete",
        "resource_type": "volume",
        "resource_id": volume_id,
        "volume_id": volume_id,
        "project_id": "admin",
        "user_id": "admin",
        "request_id": f"req-{uuid.uuid4()}",
        "queue": queue,
        "state": "queued",
        "lane": "short",
        "live_key": volume_id,
        "epoch": 0,
        "attempt": 0,
        "claims": 0,
        "cancel_requested": False,
        "args": json.dumps({"cascade": False, "force": False}),
        "tried": "[]",
        "timeline": "[]",
        "not_before": 0,
        "created_at": now,
        "updated_at": now,
    }
    rows.execute(fleet.daemon.state, "UPDATE volumes SET status = 'deleting' WHERE id = ?", volume_id)
    marks = ", ".join("?" * len(values))
    rows.execute(fleet.daemon.state, f"INSERT INTO operations ({', '.join(values)}) VALUES ({marks})", *values.values())
    return operation_id


def queue_of(fleet: Fleet, volume_id: str) -> str:
    host = fleet.rest.get(f"/volumes/{volume_id}").json()["volume"]["os-vol-host-attr:host"]
    return str(host).partition("#")[0]


def test_an_operation_whose_message_was_lost_is_found_by_the_sweep(fleet: Fleet) -> None:
    volume_id = fleet.available()
    operation_id = insert_delete(fleet, volume_id, queue_of(fleet, volume_id))
    fleet.rest.wait_until_gone(f"/volumes/{volume_id}")
    assert fleet.rest.get(f"/operations/{operation_id}").json()["operation"]["claims"] == 1


def test_an_operation_of_another_queue_is_left_alone(fleet: Fleet) -> None:
    volume_id = fleet.available()
    operation_id = insert_delete(fleet, volume_id, "elsewhere@disk")
    time.sleep(1.0)  # three sweeps of either backend
    operation = fleet.rest.get(f"/operations/{operation_id}").json()["operation"]
    assert (operation["state"], operation["claims"]) == ("queued", 0)
    moved = "UPDATE operations SET queue = ? WHERE id = ?"
    rows.execute(fleet.daemon.state, moved, queue_of(fleet, volume_id), operation_id)
    fleet.rest.wait_until_gone(f"/volumes/{volume_id}")


@pytest.mark.parametrize("point", ["api.accepted", "volume.create.place.after"])
def test_a_message_that_died_with_its_sender_is_made_up_for(fleet: Fleet, point: str) -> None:
    """The row is committed, the process dies before it casts: the next start's sweep goes on from the row."""
    assert isinstance(fleet.daemon, ForkedDaemon)
    fleet.available()
    fleet.daemon.trap.arm(point)
    try:
        fleet.create()
    except requests.ConnectionError:
        pass
    fleet.daemon.wait_for_death()
    fleet.start()
    for row in fleet.outside.rows("SELECT id FROM volumes"):
        fleet.ends(row["id"], "available")
    assert len(fleet.outside.rows("SELECT id FROM volumes")) == 2

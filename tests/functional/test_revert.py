"""A volume goes back to its latest snapshot: what is refused, what it is meanwhile, and how it ends when it fails."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.lab.faulty_fleet import Fleet, faulty_fleet

pytestmark = [
    pytest.mark.part("tgtd"),
    pytest.mark.embedded_only("a revert is an operation of one backend's queue, as an extend is"),
]

FOR_EVER = 3600.0
MARK = b"what the snapshot holds"


@pytest.fixture(scope="module")
def reverting() -> Iterator[Fleet]:
    """Volumes are exported from their creation on: a target that held on to the old data would be found."""
    with faulty_fleet("one", target="tgt", exported=True) as fleet:
        yield fleet


@pytest.fixture
def fleet(reverting: Fleet) -> Iterator[Fleet]:
    yield reverting
    reverting.faults["one"].clear()
    for volume in reverting.rest.get("/volumes").json()["volumes"]:
        fleet_delete = reverting.rest.delete(f"/volumes/{volume['id']}?cascade=true")
        assert fleet_delete.status_code == 202, fleet_delete.text
        reverting.rest.wait_until_gone(f"/volumes/{volume['id']}")
    reverting.wait_until_settled()
    assert (reverting.allocated(), reverting.in_use()) == (0, 0)


@pytest.fixture
def volume(fleet: Fleet) -> str:
    """A volume with the mark in its data."""
    volume_id = fleet.available()
    write(fleet, volume_id, MARK)
    return volume_id


def write(fleet: Fleet, volume_id: str, data: bytes) -> None:
    with (fleet.outside.pools["one"] / f"volume-{volume_id}").open("r+b") as stream:
        stream.write(data)


def read(fleet: Fleet, volume_id: str) -> bytes:
    with (fleet.outside.pools["one"] / f"volume-{volume_id}").open("rb") as stream:
        return stream.read(len(MARK))


def snapshot(fleet: Fleet, volume_id: str) -> str:
    answer = fleet.rest.post("/snapshots", json={"snapshot": {"volume_id": volume_id}})
    assert answer.status_code == 202, answer.text
    snapshot_id = str(answer.json()["snapshot"]["id"])
    fleet.rest.wait_for_status(f"/snapshots/{snapshot_id}", "available")
    return snapshot_id


def revert(fleet: Fleet, volume_id: str, snapshot_id: str, **more: Any) -> requests.Response:
    body = {"revert": {"snapshot_id": snapshot_id}}
    return fleet.rest.post(f"/volumes/{volume_id}/action", json=body, **more)


def test_a_volume_has_its_snapshots_data_again_and_its_own_size(fleet: Fleet, volume: str) -> None:
    snapshot_id = snapshot(fleet, volume)
    extended = fleet.rest.post(f"/volumes/{volume}/action", json={"os-extend": {"new_size": 2}})
    assert extended.status_code == 202, extended.text
    fleet.ends(volume, "available")
    write(fleet, volume, b"x" * len(MARK))
    assert revert(fleet, volume, snapshot_id).status_code == 202
    assert fleet.ends(volume, "available")["size"] == 2
    assert read(fleet, volume) == MARK
    assert fleet.rest.get(f"/snapshots/{snapshot_id}").json()["snapshot"]["status"] == "available"
    events = [each["event_type"] for each in fleet.rest.get(f"/volumes/{volume}/timeline").json()["timeline"]["events"]]
    assert [each for each in events if "revert" in each] == [
        "volume.revert.start",
        "snapshot.revert.start",
        "volume.revert.end",
        "snapshot.revert.end",
    ]


def test_meanwhile_it_is_reverting_and_nothing_else_is_done_with_the_two(fleet: Fleet, volume: str) -> None:
    snapshot_id = snapshot(fleet, volume)
    fleet.faults["one"].order("revert", None, pause=2)
    assert revert(fleet, volume, snapshot_id).status_code == 202
    assert fleet.rest.get(f"/volumes/{volume}").json()["volume"]["status"] == "reverting"
    assert fleet.rest.get(f"/snapshots/{snapshot_id}").json()["snapshot"]["status"] == "restoring"
    assert fleet.attach(volume).status_code == 400
    assert fleet.rest.delete(f"/snapshots/{snapshot_id}").status_code == 400
    assert fleet.rest.post("/volumes", json={"volume": {"snapshot_id": snapshot_id}}).status_code == 400
    assert revert(fleet, volume, snapshot_id).status_code == 409
    fleet.ends(volume, "available")


def test_only_the_latest_snapshot_of_the_volume_itself_is_gone_back_to(fleet: Fleet, volume: str) -> None:
    older = snapshot(fleet, volume)
    latest = snapshot(fleet, volume)
    refused = revert(fleet, volume, older)
    assert refused.status_code == 400
    assert f"that is {latest}" in refused.json()["badRequest"]["message"]
    assert revert(fleet, fleet.available(), latest).status_code == 400
    assert revert(fleet, volume, "00000000-0000-0000-0000-000000000000").status_code == 404


def test_an_attached_volume_is_not_reverted_and_older_clients_know_no_revert(fleet: Fleet, volume: str) -> None:
    snapshot_id = snapshot(fleet, volume)
    attachment = fleet.attach(volume).json()["attachment"]["id"]
    refused = revert(fleet, volume, snapshot_id)
    assert refused.status_code == 409
    assert "status must be available" in refused.json()["conflictingRequest"]["message"]
    fleet.rest.delete(f"/attachments/{attachment}").raise_for_status()
    fleet.ends(volume, "available")
    assert revert(fleet, volume, snapshot_id, headers={"OpenStack-API-Version": "volume 3.39"}).status_code == 404


def test_one_that_always_fails_ends_error_and_is_done_again(fleet: Fleet, volume: str) -> None:
    snapshot_id = snapshot(fleet, volume)
    write(fleet, volume, b"x" * len(MARK))
    fleet.faults["one"].order("revert", "BackendUnreachable", lasting=True)
    assert revert(fleet, volume, snapshot_id).status_code == 202
    ended = fleet.ends(volume, "error")
    assert ended["volumed:error"]["message"] == "one cannot be reached: revert was told to fail"
    assert fleet.rest.get(f"/snapshots/{snapshot_id}").json()["snapshot"]["status"] == "available"
    fleet.faults["one"].clear()
    failed = fleet.operation("volume.revert", volume)
    again = fleet.rest.post(f"/operations/{failed['id']}/action", json={"retry": {}})
    assert again.status_code == 202, again.text
    fleet.ends(volume, "available")
    assert read(fleet, volume) == MARK


def test_one_that_waits_is_cancelled_and_the_volume_is_as_it_was(fleet: Fleet, volume: str) -> None:
    """What has begun has no way back; what has not, has changed nothing."""
    snapshot_id = snapshot(fleet, volume)
    write(fleet, volume, b"x" * len(MARK))
    fleet.faults["one"].order("create_from_volume", None, pause=2)
    fleet.create(source_volid=volume)
    refused = revert(fleet, volume, snapshot_id)
    assert refused.status_code == 409, "a copy reads it"
    assert "volume.create" in refused.json()["conflictingRequest"]["message"]
    fleet.until(lambda: revert(fleet, volume, snapshot_id).status_code == 202)
    operation = fleet.operation("volume.revert", volume)
    answer = fleet.rest.post(f"/operations/{operation['id']}/action", json={"cancel": {}})
    assert answer.status_code in (202, 400), answer.text
    fleet.ends(volume, "available")
    expected = b"x" * len(MARK) if answer.status_code == 202 else MARK
    assert read(fleet, volume) == expected

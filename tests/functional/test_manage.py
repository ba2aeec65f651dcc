"""What others made becomes a volume or a snapshot, and is given away again: data, quota, allocation, names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.lab.faulty_fleet import Fleet, faulty_fleet

pytestmark = pytest.mark.part("tgtd")

GIB = 1024**3
LENGTH = GIB + 5


@pytest.fixture(scope="module")
def shared(deployed: str) -> Iterator[Fleet]:
    with faulty_fleet("one", target="tgt", exported=True) as fleet:
        yield fleet


@pytest.fixture
def fleet(shared: Fleet) -> Iterator[Fleet]:
    """Well again at the end of each test, without a difference, a finding, or a file that is nobody's."""
    yield shared
    shared.faults["one"].clear()
    for volume in shared.rest.get("/volumes").json()["volumes"]:
        shared.rest.delete(f"/volumes/{volume['id']}", params={"cascade": "true"}).raise_for_status()
        shared.rest.wait_until_gone(f"/volumes/{volume['id']}")
    shared.wait_until_settled()
    assert (shared.allocated(), shared.in_use(), shared.in_use("snapshots")) == (0, 0, 0)
    assert shared.rest.get("/doctor").json()["doctor"]["findings"] == []
    for path in pool(shared).glob("*"):
        if path.name != ".volumed-owner":  # without its mark the pool would be another one
            path.unlink()


def pool(fleet: Fleet) -> Path:
    return fleet.outside.pools["one"]


@pytest.fixture
def disk(fleet: Fleet) -> Path:
    """A file in the pool that is nobody's: not whole GiB, with data at its very end."""
    path = pool(fleet) / "foreign-disk"
    with path.open("wb") as stream:
        stream.truncate(LENGTH)
        stream.seek(LENGTH - 3)
        stream.write(b"end")
    return path


def is_as_it_was(disk: Path) -> bool:
    with disk.open("rb") as data:
        data.seek(LENGTH - 3)
        return data.read() == b"end"


def host(fleet: Fleet) -> str:
    return str(fleet.outside.rows("SELECT host FROM services WHERE host LIKE '%@one'")[0]["host"])


def manage(fleet: Fleet, ref: Any = "foreign-disk", **fields: Any) -> requests.Response:
    body = {"host": host(fleet), "ref": ref, **fields}
    return fleet.rest.post("/manageable_volumes", json={"volume": body})


def managed(fleet: Fleet, **fields: Any) -> str:
    answer = manage(fleet, **fields)
    assert answer.status_code == 202, answer.text
    assert answer.json()["volume"]["status"] == "creating"
    volume = str(answer.json()["volume"]["id"])
    fleet.ends(volume, "available")
    return volume


def act(fleet: Fleet, path: str, action: str, asked: Any = None) -> requests.Response:
    return fleet.rest.post(f"{path}/action", json={action: asked})


def unmanaged(fleet: Fleet, path: str) -> None:
    answer = act(fleet, path, "os-unmanage")
    assert answer.status_code == 202, answer.text
    assert answer.headers["Volumed-Operation-Id"]
    fleet.rest.wait_until_gone(path)


def row(fleet: Fleet, volume: str) -> tuple[str, str | None]:
    (found,) = fleet.outside.rows("SELECT status, host FROM volumes WHERE id = ?", volume)
    return found["status"], found["host"]


def test_what_others_made_becomes_a_volume_and_is_given_away_as_it_was(fleet: Fleet, disk: Path) -> None:
    reference = {"source-name": "foreign-disk"}
    volume = managed(fleet, ref=reference, name="mine", metadata={"a": "b"}, bootable=True)
    shown = fleet.ends(volume, "available")
    assert (shown["size"], shown["name"], shown["metadata"], shown["bootable"]) == (2, "mine", {"a": "b"}, "true")
    assert shown["os-vol-host-attr:host"] == f"{host(fleet)}#pool"
    assert (fleet.allocated(), fleet.in_use(), fleet.in_use("volumes")) == (2, 2, 1)
    fleet.wait_until_settled()
    unmanaged(fleet, f"/volumes/{volume}")
    assert is_as_it_was(disk)
    assert (fleet.allocated(), fleet.in_use(), fleet.in_use("volumes")) == (0, 0, 0)
    events = fleet.rest.get("/events", params={"resource_id": volume}).json()["events"]
    named = [each["event_type"] for each in events]
    assert named == [f"volume.{end}" for end in ("manage_existing.start", "manage_existing.end")] + [
        f"volume.{end}" for end in ("unmanage.start", "unmanage.end")
    ]


def test_a_managed_volume_does_what_every_volume_does(fleet: Fleet, disk: Path) -> None:
    volume = managed(fleet)
    made = fleet.rest.post("/snapshots", json={"snapshot": {"volume_id": volume}}).json()["snapshot"]
    fleet.rest.wait_for_status(f"/snapshots/{made['id']}", "available")
    refused = act(fleet, f"/volumes/{volume}", "os-unmanage")
    assert (refused.status_code, "1 snapshots" in refused.text) == (400, True)
    fleet.available(2, source_volid=volume)
    fleet.rest.delete(f"/volumes/{volume}", params={"cascade": "true"}).raise_for_status()
    fleet.rest.wait_until_gone(f"/volumes/{volume}")
    assert not disk.exists()


def test_a_snapshot_is_managed_and_given_away(fleet: Fleet, disk: Path) -> None:
    volume = fleet.available(2)
    body = {"volume_id": volume, "ref": {"source-name": disk.name}, "name": "old"}
    answer = fleet.rest.post("/manageable_snapshots", json={"snapshot": body})
    assert answer.status_code == 202, answer.text
    snapshot = f"/snapshots/{answer.json()['snapshot']['id']}"
    assert fleet.rest.wait_for_status(snapshot, "available")["size"] == 2
    assert (fleet.in_use(), fleet.in_use("snapshots")) == (4, 1)
    copy = fleet.available(2, snapshot_id=answer.json()["snapshot"]["id"])
    with (pool(fleet) / f"volume-{copy}").open("rb") as data:
        data.seek(LENGTH - 3)
        assert data.read(4) == b"end\0"
    fleet.wait_until_settled()
    unmanaged(fleet, snapshot)
    assert is_as_it_was(disk)


def test_a_snapshot_larger_than_its_volume_is_refused(fleet: Fleet, disk: Path) -> None:
    body = {"volume_id": fleet.available(1), "ref": disk.name}
    answer = fleet.rest.post("/manageable_snapshots", json={"snapshot": body})
    assert (answer.status_code, "has 2 GiB" in answer.text) == (400, True)


def test_the_list_has_pages_and_says_what_is_safe(fleet: Fleet, disk: Path) -> None:
    for number in range(4):
        (pool(fleet) / f"foreign-{number}").write_bytes(b"x")
    volume = fleet.available()
    asked = {"host": host(fleet)}
    listed = fleet.rest.get("/manageable_volumes/detail", params=asked).json()["manageable-volumes"]
    names = [each["reference"]["source-name"] for each in listed]
    assert names == ["foreign-0", "foreign-1", "foreign-2", "foreign-3", "foreign-disk", f"volume-{volume}"]
    assert [each["safe_to_manage"] for each in listed] == [True] * 5 + [False]
    assert (listed[-1]["cinder_id"], listed[-1]["reason_not_safe"]) == (volume, "it is managed already")
    page = {"limit": 2, "marker": "foreign-3", "sort": "size:desc,reference:desc", **asked}
    shown = fleet.rest.get("/manageable_volumes", params=page).json()["manageable-volumes"]
    assert shown == [
        {"reference": {"source-name": f"foreign-{number}"}, "size": 1, "safe_to_manage": True} for number in (2, 1)
    ]
    as_json = asked | {"marker": '{"source-name": "foreign-1"}', "offset": 1, "limit": 1}
    (only,) = fleet.rest.get("/manageable_volumes", params=as_json).json()["manageable-volumes"]
    assert only["reference"] == {"source-name": "foreign-3"}
    snapshots = fleet.rest.get("/manageable_snapshots/detail", params=asked).json()["manageable-snapshots"]
    assert [each["source_reference"] for each in snapshots] == [None] * 5


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ({}, 400, "must have host"),
        ({"host": "nowhere@one"}, 404, "nowhere@one"),
        ({"host": "", "sort": "name"}, 400, "host"),
        ({"host": None, "sort": "name"}, 400, "Sort key supplied is invalid"),
        ({"host": None, "marker": "nothing"}, 400, "marker not found"),
    ],
)
def test_a_list_of_nowhere_is_refused(fleet: Fleet, query: dict[str, Any], code: int, words: str) -> None:
    asked = {key: host(fleet) if value is None else value for key, value in query.items()}
    answer = fleet.rest.get("/manageable_volumes", params=asked)
    assert (answer.status_code, words in answer.text) == (code, True), answer.text


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"ref": "foreign-absent"}, 400, "foreign-absent"),
        ({"ref": "../up"}, 400, "no name of a file"),
        ({"ref": {"nonsense": "x"}}, 400, "source-name"),
        ({"host": "nowhere@one"}, 404, "nowhere@one"),
        ({"availability_zone": "elsewhere"}, 400, "elsewhere"),
        ({"volume_type": "unknown"}, 404, "unknown"),
    ],
)
def test_what_cannot_be_managed_is_refused_and_nothing_is_spent(
    fleet: Fleet, disk: Path, fields: dict[str, Any], code: int, words: str
) -> None:
    answer = manage(fleet, **fields)
    assert (answer.status_code, words in answer.text) == (code, True), answer.text
    assert is_as_it_was(disk)


def test_quota_is_respected(fleet: Fleet, disk: Path) -> None:
    fleet.rest.put("/os-quota-sets/admin", json={"quota_set": {"gigabytes": 1}}).raise_for_status()
    answer = manage(fleet)
    fleet.rest.put("/os-quota-sets/admin", json={"quota_set": {"gigabytes": 1000}}).raise_for_status()
    assert answer.status_code == 413, answer.text
    assert is_as_it_was(disk)


def test_only_administrators_may(fleet: Fleet, disk: Path) -> None:
    volume = fleet.available()
    as_user = {"X-Auth-Token": "alice:admin"}
    paths = {"/manageable_volumes": {"volume": {"host": host(fleet), "ref": "foreign-disk"}}}
    paths |= {f"/volumes/{volume}/action": {"os-unmanage": None}}
    for path, body in paths.items():
        assert fleet.rest.post(path, json=body, headers=as_user).status_code == 403
    listed = fleet.rest.get("/manageable_volumes", params={"host": host(fleet)}, headers=as_user)
    assert listed.status_code == 403


def test_a_key_repeated_is_one_volume(fleet: Fleet, disk: Path) -> None:
    body = {"volume": {"host": host(fleet), "ref": "foreign-disk"}}
    headers = {"Idempotency-Key": "once"}
    first = fleet.rest.post("/manageable_volumes", json=body, headers=headers).json()["volume"]["id"]
    fleet.ends(first, "available")
    again = fleet.rest.post("/os-volume-manage", json=body, headers={"Idempotency-Key": "twice"})
    assert (again.status_code, "foreign-disk" in again.text) == (400, True)
    repeated = fleet.rest.post("/manageable_volumes", json=body, headers=headers)
    assert (repeated.status_code, repeated.json()["volume"]["id"]) == (202, first)
    unmanaged(fleet, f"/volumes/{first}")


# --- the backend fails ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_manage_that_fails_gives_back_and_says_why(fleet: Fleet, disk: Path, after: bool) -> None:
    fleet.faults["one"].order("manage", "BackendUnreachable", after=after)
    volume = str(manage(fleet).json()["volume"]["id"])
    shown = fleet.ends(volume, "error")
    assert "manage was told to fail" in shown["volumed:error"]["message"]
    assert row(fleet, volume) == ("error_managing", None)
    assert is_as_it_was(disk)
    assert (fleet.allocated(), fleet.in_use()) == (0, 2)
    assert act(fleet, f"/volumes/{volume}", "os-unmanage").status_code == 400
    fleet.wait_until_settled()
    fleet.delete(volume)
    assert is_as_it_was(disk)


def test_an_export_that_fails_gives_back(fleet: Fleet, disk: Path) -> None:
    fleet.faults["one"].order("ensure_export", "BackendUnreachable")
    volume = str(manage(fleet).json()["volume"]["id"])
    fleet.ends(volume, "error")
    assert row(fleet, volume) == ("error_managing", None)
    assert is_as_it_was(disk)


def test_what_cannot_be_given_back_in_time_is_kept_and_can_be_given_away_later(fleet: Fleet, disk: Path) -> None:
    fleet.faults["one"].order("manage", "BackendUnreachable", after=True)
    fleet.faults["one"].order("unmanage", "BackendUnreachable", lasting=True)
    volume = str(manage(fleet).json()["volume"]["id"])
    fleet.ends(volume, "error_unmanaging")
    assert row(fleet, volume) == ("error_unmanaging", f"{host(fleet)}#pool")
    assert (fleet.allocated(), fleet.in_use()) == (2, 2)
    refused = fleet.rest.delete(f"/volumes/{volume}")
    assert (refused.status_code, "error_unmanaging" in refused.text) == (400, True)
    fleet.wait_until_settled()
    fleet.faults["one"].clear()
    unmanaged(fleet, f"/volumes/{volume}")
    assert is_as_it_was(disk)


def test_an_unmanage_that_fails_is_declared_and_can_be_reset_or_asked_again(fleet: Fleet, disk: Path) -> None:
    volume = managed(fleet)
    fleet.faults["one"].order("unmanage", "BackendBusy", lasting=True)
    assert act(fleet, f"/volumes/{volume}", "os-unmanage").status_code == 202
    shown = fleet.ends(volume, "error_unmanaging")
    assert "unmanage was told to fail" in shown["volumed:error"]["message"]
    fleet.faults["one"].clear()
    act(fleet, f"/volumes/{volume}", "os-reset_status", {"status": "available"}).raise_for_status()
    fleet.ends(volume, "available")
    unmanaged(fleet, f"/volumes/{volume}")
    assert is_as_it_was(disk)


def test_an_unmanage_that_failed_is_retried_and_a_manage_is_asked_anew(fleet: Fleet, disk: Path) -> None:
    volume = managed(fleet)
    fleet.faults["one"].order("unmanage", "BackendBusy", lasting=True)
    act(fleet, f"/volumes/{volume}", "os-unmanage").raise_for_status()
    fleet.ends(volume, "error_unmanaging")
    fleet.faults["one"].clear()
    path = f"/operations/{fleet.operation('volume.unmanage', volume)['id']}/action"
    fleet.rest.post(path, json={"retry": {}}).raise_for_status()
    fleet.rest.wait_until_gone(f"/volumes/{volume}")
    assert is_as_it_was(disk)
    fleet.faults["one"].order("manage", "BackendUnreachable")
    volume = str(manage(fleet).json()["volume"]["id"])
    fleet.ends(volume, "error")
    failed = fleet.operation("volume.manage", volume)["id"]
    refused = fleet.rest.post(f"/operations/{failed}/action", json={"retry": {}})
    assert (refused.status_code, "delete the volume, and manage it again" in refused.text) == (400, True)


def test_a_snapshot_that_fails_ends_as_declared(fleet: Fleet, disk: Path) -> None:
    body = {"volume_id": fleet.available(2), "ref": disk.name}
    fleet.faults["one"].order("manage_snapshot", "BackendUnreachable", after=True)
    made = fleet.rest.post("/manageable_snapshots", json={"snapshot": body}).json()["snapshot"]
    fleet.rest.wait_for_status(f"/snapshots/{made['id']}", "error")
    assert is_as_it_was(disk)
    fleet.wait_until_settled()
    fleet.rest.delete(f"/snapshots/{made['id']}").raise_for_status()
    fleet.rest.wait_until_gone(f"/snapshots/{made['id']}")
    made = fleet.rest.post("/manageable_snapshots", json={"snapshot": body}).json()["snapshot"]
    snapshot = f"/snapshots/{made['id']}"
    fleet.rest.wait_for_status(snapshot, "available")
    fleet.faults["one"].order("unmanage_snapshot", "BackendBusy", lasting=True)
    assert act(fleet, snapshot, "os-unmanage").status_code == 202
    fleet.rest.wait_for_status(snapshot, "error_unmanaging")
    fleet.faults["one"].clear()
    path = f"/operations/{fleet.operation('snapshot.unmanage')['id']}/action"
    fleet.rest.post(path, json={"retry": {}}).raise_for_status()
    fleet.rest.wait_until_gone(snapshot)
    assert is_as_it_was(disk)


def test_a_manage_is_cancelled_and_gives_back(fleet: Fleet, disk: Path) -> None:
    fleet.faults["one"].order("ensure_export", None, pause=1.0)
    volume = str(manage(fleet).json()["volume"]["id"])
    fleet.until(lambda: (pool(fleet) / f"volume-{volume}").exists())
    operation = fleet.operation("volume.manage", volume)
    fleet.rest.post(f"/operations/{operation['id']}/action", json={"cancel": None}).raise_for_status()
    shown = fleet.ends(volume, "error")
    assert shown["volumed:error"]["type"] == "Cancelled"
    assert row(fleet, volume) == ("error_managing", None)
    assert is_as_it_was(disk)


def test_a_disabled_service_and_one_that_is_down_are_told(fleet: Fleet, disk: Path) -> None:
    asked = {"host": host(fleet), "binary": "volumed-volume"}
    fleet.rest.put("/os-services/disable-log-reason", json=asked | {"disabled_reason": "rebuilding"}).raise_for_status()
    answer = manage(fleet)
    fleet.rest.put("/os-services/enable", json=asked).raise_for_status()
    assert (answer.status_code, "rebuilding" in answer.text) == (400, True)
    fleet.faults["one"].order("managed_size", "BackendUnreachable")
    answer = manage(fleet)
    assert (answer.status_code, "managed_size was told to fail" in answer.text) == (503, True)

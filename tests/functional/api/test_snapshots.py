"""Snapshots over HTTP."""

import pytest

from tests.functional.api.stage import Api, PlayedManager, Recorder


def test_a_snapshot_is_taken_by_the_volumes_backend(api: Api, manager: PlayedManager, recorder: Recorder) -> None:
    volume_id = manager.available(api, size=3)
    asked = {"volume_id": volume_id, "name": "s", "metadata": {"a": "b"}}
    answer = api.ask("POST", "/v3/snapshots", {"snapshot": asked})
    told = answer.json["snapshot"]
    assert (answer.status_code, told["status"], told["size"], told["name"]) == (202, "creating", 3, "s")
    (operation,) = manager.live()
    assert operation.id == answer.headers["Volumed-Operation-Id"]
    assert (operation.kind, operation.queue, operation.lane) == ("snapshot.create", "node@file", "long")
    assert (operation.volume_id, operation.source_id) == (volume_id, volume_id)
    assert recorder.casts[-1][0] == "create_snapshot"
    manager.finish_all()
    shown = api.get(f"/v3/snapshots/{told['id']}")["snapshot"]
    assert (shown["status"], shown["os-extended-snapshot-attributes:progress"]) == ("available", "100%")
    limits = api.get("/v3/limits")["limits"]["absolute"]
    assert (limits["totalSnapshotsUsed"], limits["totalGigabytesUsed"]) == (1, 6)


@pytest.mark.parametrize(
    ("version", "force", "expected"),
    [
        ("3.0", None, 400),
        ("3.65", False, 400),
        ("3.65", "true", 202),
        ("3.66", None, 202),
        ("3.66", True, 202),
        ("3.66", False, 400),
    ],
)
def test_a_snapshot_of_a_volume_in_use(
    api: Api, manager: PlayedManager, version: str, force: object, expected: int
) -> None:
    volume_id = manager.available(api)
    api.act(volume_id, "os-attach", {"host_name": "node", "mountpoint": "/dev/vdb"})
    asked = {"volume_id": volume_id} | ({} if force is None else {"force": force})
    api.at(version).post("/v3/snapshots", {"snapshot": asked}, expected)
    assert [operation.args for operation in manager.live()] == ([{"attached": True}] if expected == 202 else [])


def test_many_snapshots_of_one_volume_are_taken_at_once_and_hold_it(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    for _ in range(3):
        api.post("/v3/snapshots", {"snapshot": {"volume_id": volume_id}})
    api.act(volume_id, "os-extend", {"new_size": 5}, expected=400)
    api.delete(f"/v3/volumes/{volume_id}", expected=400)
    manager.finish_all()
    api.act(volume_id, "os-extend", {"new_size": 5})
    api.post("/v3/snapshots", {"snapshot": {"volume_id": volume_id}}, 400)


def test_a_snapshot_is_deleted_by_the_volumes_backend(api: Api, manager: PlayedManager) -> None:
    snapshot_id = manager.snapshot(api, manager.available(api))
    first = api.ask("DELETE", f"/v3/snapshots/{snapshot_id}")
    again = api.ask("DELETE", f"/v3/snapshots/{snapshot_id}")
    (operation,) = manager.live()
    assert [each.status_code for each in (first, again)] == [202, 202]
    assert {each.headers["Volumed-Operation-Id"] for each in (first, again)} == {operation.id}
    api.post("/v3/volumes", {"volume": {"snapshot_id": snapshot_id}}, 400)
    manager.finish_all()
    assert api.ask("GET", f"/v3/snapshots/{snapshot_id}").status_code == 404


def test_name_metadata_and_status(api: Api, admin: Api, stranger: Api, manager: PlayedManager) -> None:
    path = f"/v3/snapshots/{manager.snapshot(api, manager.available(api))}"
    told = api.put(path, {"snapshot": {"name": "n", "description": "d"}})["snapshot"]
    assert (told["name"], told["description"]) == ("n", "d")
    assert api.post(f"{path}/metadata", {"metadata": {"a": "1"}}, 200) == {"metadata": {"a": "1"}}
    api.post(f"{path}/action", {"os-reset_status": {"status": "error"}}, 403)
    admin.post(f"{path}/action", {"os-reset_status": {"status": "error"}})
    assert api.get(path)["snapshot"]["status"] == "error"
    stranger.delete(path, expected=404)
    stranger.put(path, {"snapshot": {"name": "x"}}, expected=404)


def test_lists(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    known = [manager.snapshot(api, volume_id) for _ in range(3)]
    assert [each["id"] for each in api.get("/v3/snapshots")["snapshots"]] == known[::-1]
    found = api.get(f"/v3/snapshots/detail?volume_id={volume_id}&sort=created_at:asc&limit=2&with_count=true")
    assert [each["id"] for each in found["snapshots"]] == known[:2]
    assert found["count"] == 3
    assert found["snapshots_links"][0]["rel"] == "next"
    assert api.get("/v3/snapshots?status=error")["snapshots"] == []


def test_quota_of_snapshots(api: Api, admin: Api, manager: PlayedManager) -> None:
    admin.put("/v3/os-quota-sets/p1", {"quota_set": {"snapshots": 1}})
    volume_id = manager.available(api)
    manager.snapshot(api, volume_id)
    told = api.post("/v3/snapshots", {"snapshot": {"volume_id": volume_id}}, 413)
    assert "1 of 1 in use" in told["overLimit"]["message"]

"""Volumes over HTTP: what a client asks, what it is told, and what stands in the rows."""

import pytest

from tests.functional.api.stage import CONNECTOR, Api, PlayedManager, Recorder
from volumed.db import services
from volumed.db.engine import Database


def test_a_create_is_answered_at_once_and_wakes_the_scheduler(
    api: Api, recorder: Recorder, manager: PlayedManager
) -> None:
    answer = api.ask("POST", "/v3/volumes", {"volume": {"size": 2, "name": "data", "metadata": {"a": "b"}}})
    assert answer.status_code == 202
    volume = answer.json["volume"]
    assert (volume["status"], volume["size"], volume["name"]) == ("creating", 2, "data")
    assert (volume["volume_type"], volume["availability_zone"]) == ("__DEFAULT__", "nova")
    (operation,) = manager.live()
    assert operation.id == answer.headers["Volumed-Operation-Id"]
    assert (operation.kind, operation.queue, operation.lane) == ("volume.create", "scheduler", "short")
    assert operation.request_id == answer.headers["x-openstack-request-id"]
    assert recorder.casts == [("create_volume", {"volume_id": volume["id"], "operation_id": operation.id})]


def test_a_create_is_accepted_without_a_broker(api: Api, recorder: Recorder, manager: PlayedManager) -> None:
    recorder.away = True
    api.post("/v3/volumes", {"volume": {"size": 1}})
    assert [operation.kind for operation in manager.live()] == ["volume.create"]


def test_a_volume_has_the_fields_of_each_microversion(api: Api, admin: Api, manager: PlayedManager) -> None:
    path = f"/v3/volumes/{manager.available(api)}"
    oldest = set(api.at("3.0").get(path)["volume"])
    newest = set(api.at("3.66").get(path)["volume"])
    assert newest - oldest == {"group_id", "shared_targets", "service_uuid", "volume_type_id", "consumes_quota"}
    seen_by_admin = admin.get(path)["volume"]
    assert seen_by_admin["os-vol-host-attr:host"] == "node@file#pool"
    assert seen_by_admin["service_uuid"] == "5c3a6f44-0000-4000-8000-000000000002"
    assert {"provider_id", "cluster_name"} <= set(seen_by_admin)
    assert "os-vol-host-attr:host" not in newest


def test_both_forms_of_the_path_are_the_same(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    plain, with_project = api.volume(volume_id), api.get(f"/v3/p1/volumes/{volume_id}")["volume"]
    assert plain | {"links": ()} == with_project | {"links": ()}
    assert with_project["links"][0]["href"].endswith(f"/v3/p1/volumes/{volume_id}")


def test_anothers_volume_does_not_exist(api: Api, stranger: Api, admin: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    for method, path in (
        ("GET", f"/v3/volumes/{volume_id}"),
        ("DELETE", f"/v3/volumes/{volume_id}"),
        ("GET", f"/v3/volumes/{volume_id}/timeline"),
        ("GET", f"/v3/volumes/{volume_id}/placement"),
        ("GET", f"/v3/volumes/{volume_id}/metadata"),
    ):
        assert stranger.ask(method, path).status_code == 404, path
    stranger.put(f"/v3/volumes/{volume_id}", {"volume": {"name": "mine"}}, expected=404)
    stranger.act(volume_id, "os-extend", {"new_size": 5}, expected=404)
    stranger.post("/v3/volumes", {"volume": {"source_volid": volume_id}}, expected=404)
    stranger.post("/v3/snapshots", {"snapshot": {"volume_id": volume_id}}, expected=404)
    stranger.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id}}, expected=404)
    assert admin.volume(volume_id)["name"] is None
    assert stranger.get("/v3/volumes?all_tenants=1")["volumes"] == []
    assert [each["id"] for each in admin.get("/v3/volumes?all_tenants=1")["volumes"]] == [volume_id]
    assert stranger.ask("GET", "/v3/p1/volumes").status_code == 400


def test_name_description_and_metadata_are_changed_at_any_time(api: Api) -> None:
    volume_id = api.post("/v3/volumes", {"volume": {"size": 1}})["volume"]["id"]
    asked = {"name": "n", "description": "two\nlines", "metadata": {"k": "v"}}
    told = api.put(f"/v3/volumes/{volume_id}", {"volume": asked})["volume"]
    assert {key: told[key] for key in asked} == asked
    api.put(f"/v3/volumes/{volume_id}", {"volume": {}}, expected=400)
    api.at("3.52").put(f"/v3/volumes/{volume_id}", {"volume": {}})


def test_metadata_by_key(api: Api) -> None:
    path = f"/v3/volumes/{api.post('/v3/volumes', {'volume': {'size': 1}})['volume']['id']}/metadata"
    assert api.post(path, {"metadata": {"a": "1", "b": "2"}}, 200) == {"metadata": {"a": "1", "b": "2"}}
    assert api.put(f"{path}/a", {"meta": {"a": "3"}}) == {"meta": {"a": "3"}}
    assert api.get(f"{path}/a") == {"meta": {"a": "3"}}
    api.delete(f"{path}/b", expected=200)
    assert api.get(path) == {"metadata": {"a": "3"}}
    api.delete(f"{path}/b", expected=404)
    assert api.put(path, {"metadata": {}}) == {"metadata": {}}


def test_metadata_is_not_overwritten_by_who_has_not_seen_it(api: Api) -> None:
    path = f"/v3/volumes/{api.post('/v3/volumes', {'volume': {'size': 1}})['volume']['id']}/metadata"
    tag = api.ask("GET", path).headers["ETag"]
    assert api.ask("PUT", path, {"metadata": {"a": "1"}}, If_Match=tag).status_code == 200
    assert api.ask("PUT", path, {"metadata": {"a": "2"}}, If_Match=tag).status_code == 412
    assert api.get(path) == {"metadata": {"a": "1"}}


def test_a_volume_is_deleted_by_its_backend(api: Api, manager: PlayedManager, recorder: Recorder) -> None:
    volume_id = manager.available(api)
    first = api.ask("DELETE", f"/v3/volumes/{volume_id}")
    assert first.status_code == 202
    assert api.volume(volume_id)["status"] == "deleting"
    (operation,) = manager.live()
    assert (operation.kind, operation.queue) == ("volume.delete", "node@file")
    assert recorder.casts[-1] == ("delete_volume", {"volume_id": volume_id, "operation_id": operation.id})
    joined = api.ask("DELETE", f"/v3/volumes/{volume_id}")
    assert (joined.status_code, joined.headers["Volumed-Operation-Id"]) == (202, operation.id)
    manager.finish_all()
    assert api.ask("GET", f"/v3/volumes/{volume_id}").status_code == 404


def test_a_volume_that_was_never_placed_is_deleted_at_once_and_its_quota_is_back(
    api: Api, manager: PlayedManager
) -> None:
    volume_id = api.post("/v3/volumes", {"volume": {"size": 3}})["volume"]["id"]
    manager.fail_all("nowhere", "NoValidBackend")
    assert api.volume(volume_id)["volumed:error"]["message"] == "nowhere"
    api.delete(f"/v3/volumes/{volume_id}")
    assert api.ask("GET", f"/v3/volumes/{volume_id}").status_code == 404
    assert api.get("/v3/limits")["limits"]["absolute"]["totalGigabytesUsed"] == 0
    timeline = api.get(f"/v3/volumes/{volume_id}/timeline")["timeline"]
    assert timeline["status"] == "deleted"
    ended = [(each["kind"], each["state"]) for each in timeline["operations"]]
    assert ended == [("volume.create", "failed"), ("volume.delete", "succeeded")]
    assert [each["event_type"] for each in timeline["events"]][-2:] == ["volume.delete.start", "volume.delete.end"]


def test_a_volume_with_snapshots_goes_only_with_them(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    snapshot_ids = [manager.snapshot(api, volume_id) for _ in range(2)]
    refused = api.delete(f"/v3/volumes/{volume_id}", expected=400)
    assert "2 snapshots" in refused["badRequest"]["message"]
    api.delete(f"/v3/volumes/{volume_id}?cascade=true")
    (operation,) = manager.live()
    assert operation.args == {"cascade": True, "force": False}
    assert {api.get(f"/v3/snapshots/{each}")["snapshot"]["status"] for each in snapshot_ids} == {"deleting"}


def test_a_volume_that_is_attached_stays(api: Api, admin: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    api.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id}}, 200)
    api.delete(f"/v3/volumes/{volume_id}", expected=400)
    api.act(volume_id, "os-force_delete", expected=403)
    admin.act(volume_id, "os-force_delete")
    assert [operation.args["force"] for operation in manager.live()] == [True]


def test_a_clone_holds_its_source_and_other_clones_run_beside_it(api: Api, manager: PlayedManager) -> None:
    source_id = manager.available(api, size=2)
    for _ in range(20):
        made = api.post("/v3/volumes", {"volume": {"source_volid": source_id}})["volume"]
        assert (made["size"], made["source_volid"]) == (2, source_id)
    assert {(each.source_id, each.lane) for each in manager.live()} == {(source_id, "long")}
    for refused in (
        api.ask("DELETE", f"/v3/volumes/{source_id}"),
        api.ask("POST", f"/v3/volumes/{source_id}/action", {"os-extend": {"new_size": 9}}),
    ):
        assert refused.status_code == 400
        assert refused.headers["Volumed-Operation-Id"] in refused.json["badRequest"]["message"]
    manager.finish_all()
    api.delete(f"/v3/volumes/{source_id}")


def test_a_clone_of_a_volume_that_is_going_is_refused(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    api.delete(f"/v3/volumes/{volume_id}")
    api.post("/v3/volumes", {"volume": {"source_volid": volume_id}}, expected=400)


@pytest.mark.parametrize(("size", "expected"), [(1, 400), (2, 202), (5, 202), (None, 202)])
def test_a_volume_from_a_snapshot_is_at_least_as_large(
    api: Api, manager: PlayedManager, size: int | None, expected: int
) -> None:
    snapshot_id = manager.snapshot(api, manager.available(api, size=2))
    told = api.post("/v3/volumes", {"volume": {"snapshot_id": snapshot_id, "size": size}}, expected)
    if expected == 202:
        assert told["volume"]["size"] == (size or 2)
        (operation,) = manager.live()
        assert (operation.source_id, operation.args["source_host"]) == (snapshot_id, "node@file#pool")
        api.delete(f"/v3/snapshots/{snapshot_id}", expected=400)


def test_extend(api: Api, manager: PlayedManager, recorder: Recorder) -> None:
    volume_id = manager.available(api, size=2)
    for size in (1, 2):
        told = api.act(volume_id, "os-extend", {"new_size": size}, expected=400)
        assert "greater than current size" in told["badRequest"]["message"]
    api.act(volume_id, "os-extend", {"new_size": 5})
    (operation,) = manager.live()
    assert (operation.kind, operation.args) == ("volume.extend", {"new_size": 5, "old_size": 2})
    assert recorder.casts[-1][0] == "extend_volume"
    assert api.volume(volume_id)["status"] == "extending"
    api.act(volume_id, "os-extend", {"new_size": 6}, expected=400)
    manager.finish_all()
    assert api.volume(volume_id)["size"] == 5
    assert api.get("/v3/limits")["limits"]["absolute"]["totalGigabytesUsed"] == 5


def attached(api: Api, manager: PlayedManager) -> str:
    """A new volume that a host says it uses."""
    volume_id = manager.available(api)
    api.act(volume_id, "os-attach", {"host_name": "node", "mountpoint": "/dev/vdb"})
    return volume_id


@pytest.mark.parametrize(
    ("version", "supported", "why"),
    [
        ("3.41", True, "must be available"),
        ("3.42", False, "must be available to extend, currently in-use: its backend does not support to extend"),
        ("3.42", None, "its backend has not said that it can extend a volume that is attached"),
    ],
)
def test_an_attached_volume_is_not_extended_by_an_older_client_or_where_its_backend_cannot(
    api: Api, manager: PlayedManager, database: Database, version: str, supported: bool | None, why: str
) -> None:
    if supported is not None:
        database.write(services.tell_extends_in_use, "node@file", supported)
    volume_id = attached(api, manager)
    told = api.at(version).act(volume_id, "os-extend", {"new_size": 5}, expected=400)
    assert why in told["badRequest"]["message"]
    assert (api.volume(volume_id)["status"], manager.live()) == ("in-use", [])
    assert api.get("/v3/limits")["limits"]["absolute"]["totalGigabytesUsed"] == 1


def test_an_attached_volume_is_extended_where_its_backend_can(
    api: Api, admin: Api, manager: PlayedManager, database: Database
) -> None:
    database.write(services.tell_extends_in_use, "node@file", True)
    volume_id = attached(api, manager)
    api.at("3.42").act(volume_id, "os-extend", {"new_size": 5})
    assert api.volume(volume_id)["status"] == "extending"
    for action in ("os-begin_detaching", "os-attach", "os-reserve", "os-extend"):
        asked = {"os-attach": {"instance_uuid": volume_id}, "os-extend": {"new_size": 9}}.get(action)
        api.act(volume_id, action, asked, expected=400)
    api.act(volume_id, "os-roll_detaching")
    admin.act(volume_id, "os-force_delete", expected=400)
    manager.finish_all()
    found = api.volume(volume_id)
    assert (found["status"], found["size"]) == ("in-use", 5)
    assert api.get("/v3/limits")["limits"]["absolute"]["totalGigabytesUsed"] == 5


def test_who_leaves_while_his_volume_is_extended_does_not_wait(
    api: Api, manager: PlayedManager, database: Database
) -> None:
    database.write(services.tell_extends_in_use, "node@file", True)
    volume_id = attached(api, manager)
    api.act(volume_id, "os-extend", {"new_size": 5})
    api.act(volume_id, "os-detach", {})
    assert (api.volume(volume_id)["status"], api.volume(volume_id)["attachments"]) == ("extending", [])
    manager.finish_all()
    assert (api.volume(volume_id)["status"], api.volume(volume_id)["size"]) == ("available", 5)


def test_reset_status_is_refused_while_something_is_on_its_way(api: Api, admin: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    api.act(volume_id, "os-reset_status", {"status": "error"}, expected=403)
    admin.act(volume_id, "os-reset_status", {"status": "error"})
    assert api.volume(volume_id)["status"] == "error"
    admin.act(volume_id, "os-reset_status", {"status": "in-use"}, expected=400)
    soon = manager.soon(manager.finish_all)
    admin.act(volume_id, "os-reset_status", {"status": "available"})
    soon.join()
    api.post("/v3/volumes", {"volume": {"source_volid": volume_id}})
    told = admin.act(volume_id, "os-reset_status", {"status": "error"}, expected=400)
    assert "volume.create" in told["badRequest"]["message"]


def test_summary(api: Api, manager: PlayedManager) -> None:
    manager.available(api, size=2, metadata={"k": "1"})
    manager.available(api, size=3, metadata={"k": "2"})
    told = api.get("/v3/volumes/summary")["volume-summary"]
    assert told == {"total_count": 2, "total_size": 5, "metadata": {"k": ["1", "2"]}}
    assert api.at("3.11").ask("GET", "/v3/volumes/summary").status_code == 404


def test_quota_holds_for_the_project_and_for_each_type(api: Api, admin: Api, manager: PlayedManager) -> None:
    admin.put("/v3/os-quota-sets/p1", {"quota_set": {"gigabytes": 5}})
    manager.available(api, size=3)
    told = api.post("/v3/volumes", {"volume": {"size": 3}}, expected=413)["overLimit"]["message"]
    assert "3 more gigabytes asked, 3 of 5 in use" in told
    admin.put("/v3/os-quota-sets/p1", {"quota_set": {"gigabytes": 50, "volumes___DEFAULT__": 1}})
    told = api.post("/v3/volumes", {"volume": {"size": 1}}, expected=413)["overLimit"]["message"]
    assert "volumes___DEFAULT__" in told
    usage = admin.get("/v3/os-quota-sets/p1?usage=true")["quota_set"]
    assert usage["gigabytes"] == {"in_use": 3, "limit": 50, "reserved": 0}
    assert usage["volumes"]["in_use"] == 1
    assert len(manager.live()) == 0


@pytest.mark.parametrize("asked", [{"initiator": "iqn.a:b"}, CONNECTOR])
def test_requests_on_a_volume_that_is_being_made_are_refused(api: Api, asked: dict[str, str]) -> None:
    volume_id = api.post("/v3/volumes", {"volume": {"size": 1}})["volume"]["id"]
    api.post("/v3/snapshots", {"snapshot": {"volume_id": volume_id}}, 400)
    api.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id, "connector": asked}}, 400)
    api.act(volume_id, "os-initialize_connection", {"connector": asked}, expected=400)
    api.act(volume_id, "os-extend", {"new_size": 5}, expected=400)
    api.delete(f"/v3/volumes/{volume_id}", expected=400)

"""A failed operation done again, and a status reset to what is true."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.lab.faulty_fleet import Fleet, faulty_fleet


@pytest.fixture(scope="module")
def shared(deployed: str) -> Iterator[Fleet]:
    with faulty_fleet("one") as fleet:
        yield fleet


@pytest.fixture
def fleet(shared: Fleet) -> Iterator[Fleet]:
    """Well again at the end of each test, without a difference and without a finding."""
    yield shared
    shared.faults["one"].clear()
    for attachment in shared.rest.get("/attachments").json()["attachments"]:
        shared.rest.delete(f"/attachments/{attachment['id']}").raise_for_status()
    for volume in shared.rest.get("/volumes").json()["volumes"]:
        shared.rest.delete(f"/volumes/{volume['id']}", params={"cascade": "true"}).raise_for_status()
        shared.rest.wait_until_gone(f"/volumes/{volume['id']}")
    shared.wait_until_settled()
    assert (shared.allocated(), shared.in_use(), shared.in_use("snapshots")) == (0, 0, 0)
    assert shared.rest.get("/doctor").json()["doctor"]["findings"] == []


def retry(fleet: Fleet, operation: dict[str, Any]) -> requests.Response:
    return fleet.rest.post(f"/operations/{operation['id']}/action", json={"retry": {}})


def retried(fleet: Fleet, operation: dict[str, Any]) -> dict[str, Any]:
    """The operation done again, when it has succeeded."""
    assert operation["state"] == "failed", operation
    answer = retry(fleet, operation)
    assert answer.status_code == 202, answer.text
    new = answer.json()["operation"]
    assert (new["kind"], new["resource_id"]) == (operation["kind"], operation["resource_id"])
    assert new["id"] != operation["id"]
    assert answer.headers["Volumed-Operation-Id"] == new["id"]

    def look() -> dict[str, Any] | None:
        shown = fleet.rest.get(f"/operations/{new['id']}").json()["operation"]
        return dict(shown) if shown["state"] in ("succeeded", "failed") else None

    ended = fleet.until(look)
    assert ended["state"] == "succeeded", ended
    return dict(ended)


def reset(fleet: Fleet, path: str, status: str) -> requests.Response:
    return fleet.rest.post(f"{path}/action", json={"os-reset_status": {"status": status}})


# --- retry ------------------------------------------------------------------------------------------------------------


def test_a_create_that_failed_is_done_again(fleet: Fleet) -> None:
    fleet.faults["one"].order("create", "BackendInvalid")
    volume = fleet.create(2)
    fleet.ends(volume, "error")
    retried(fleet, fleet.operation("volume.create", volume))
    shown = fleet.ends(volume, "available")
    assert "volumed:error" not in shown
    assert (fleet.allocated(), fleet.in_use()) == (2, 2)


def test_a_clone_that_failed_is_done_again_from_its_source(fleet: Fleet) -> None:
    source = fleet.available()
    fleet.faults["one"].order("create_from_volume", "BackendInvalid")
    clone = fleet.create(source_volid=source)
    fleet.ends(clone, "error")
    again = retried(fleet, fleet.operation("volume.create", clone))
    assert (again["source_id"], fleet.ends(clone, "available")["source_volid"]) == (source, source)


def test_a_clone_whose_source_is_gone_is_not_done_again(fleet: Fleet) -> None:
    source = fleet.available()
    fleet.faults["one"].order("create_from_volume", "BackendInvalid")
    clone = fleet.create(source_volid=source)
    fleet.ends(clone, "error")
    fleet.delete(source)
    answer = retry(fleet, fleet.operation("volume.create", clone))
    assert (answer.status_code, source in answer.text) == (404, True)
    assert fleet.ends(clone, "error")


def test_an_extend_that_failed_is_done_again_with_its_quota(fleet: Fleet) -> None:
    volume = fleet.available()
    fleet.faults["one"].order("extend", "BackendFull", lasting=True)
    fleet.rest.post(f"/volumes/{volume}/action", json={"os-extend": {"new_size": 3}}).raise_for_status()
    fleet.ends(volume, "error_extending")
    assert fleet.in_use() == 1
    fleet.faults["one"].clear()
    retried(fleet, fleet.operation("volume.extend", volume))
    assert fleet.ends(volume, "available")["size"] == 3
    assert fleet.in_use() == 3


def test_a_snapshot_that_failed_is_done_again(fleet: Fleet) -> None:
    volume = fleet.available()
    fleet.faults["one"].order("create_snapshot", "BackendFull")
    made = fleet.rest.post("/snapshots", json={"snapshot": {"volume_id": volume}}).json()["snapshot"]
    fleet.rest.wait_for_status(f"/snapshots/{made['id']}", "error")
    retried(fleet, fleet.operation("snapshot.create", made["id"]))
    fleet.rest.wait_for_status(f"/snapshots/{made['id']}", "available")


def test_deletes_that_failed_are_done_again(fleet: Fleet) -> None:
    volume = fleet.available()
    made = fleet.rest.post("/snapshots", json={"snapshot": {"volume_id": volume}}).json()["snapshot"]
    fleet.rest.wait_for_status(f"/snapshots/{made['id']}", "available")
    fleet.faults["one"].order("delete_snapshot", "BackendBusy", lasting=True)
    fleet.rest.delete(f"/snapshots/{made['id']}").raise_for_status()
    fleet.rest.wait_for_status(f"/snapshots/{made['id']}", "error_deleting")
    fleet.faults["one"].clear()
    retried(fleet, fleet.operation("snapshot.delete", made["id"]))
    fleet.faults["one"].order("delete", "BackendBusy", lasting=True)
    fleet.rest.delete(f"/volumes/{volume}").raise_for_status()
    fleet.ends(volume, "error_deleting")
    fleet.faults["one"].clear()
    retried(fleet, fleet.operation("volume.delete", volume))
    fleet.rest.wait_until_gone(f"/volumes/{volume}")


def test_an_attach_and_a_detach_that_failed_are_done_again(fleet: Fleet) -> None:
    volume = fleet.available()
    fleet.faults["one"].order("ensure_export", "BackendUnreachable")
    assert fleet.attach(volume).status_code == 503
    attach = fleet.operation("attachment.attach")
    retried(fleet, attach)
    path = f"/attachments/{attach['resource_id']}"
    assert fleet.rest.get(path).json()["attachment"]["connection_info"]["auth_password"]
    fleet.faults["one"].order("remove_export", "BackendBusy", lasting=True)
    assert fleet.rest.delete(path).status_code >= 400
    fleet.faults["one"].clear()
    retried(fleet, fleet.operation("attachment.detach"))
    fleet.ends(volume, "available")


def test_what_did_not_fail_or_has_moved_on_is_not_done_again(fleet: Fleet) -> None:
    fleet.faults["one"].order("create", "BackendInvalid")
    volume = fleet.create()
    fleet.ends(volume, "error")
    failed = fleet.operation("volume.create", volume)
    done = retried(fleet, failed)
    twice = retry(fleet, failed)
    assert (twice.status_code, "must be error" in twice.text) == (400, True)
    ended = retry(fleet, done)
    assert (ended.status_code, f"operation {done['id']} is succeeded" in ended.text) == (400, True)


def test_a_retry_with_a_key_is_done_once(fleet: Fleet) -> None:
    fleet.faults["one"].order("create", "BackendInvalid")
    volume = fleet.create()
    fleet.ends(volume, "error")
    failed = fleet.operation("volume.create", volume)
    path, body, key = f"/operations/{failed['id']}/action", {"retry": {}}, {"Idempotency-Key": "once-more"}
    first, second = (fleet.rest.post(path, json=body, headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["operation"]["id"] == second.json()["operation"]["id"]
    fleet.ends(volume, "available")


# --- reset ------------------------------------------------------------------------------------------------------------


def test_a_reset_asks_the_backend_and_sets_what_is_true(fleet: Fleet) -> None:
    volume = fleet.available()
    path = f"/volumes/{volume}"
    assert reset(fleet, path, "error").status_code == 202
    assert "set to error as user admin asked" in fleet.ends(volume, "error")["volumed:error"]["message"]
    answer = reset(fleet, path, "available")
    assert answer.status_code == 202, answer.text
    assert fleet.rest.get(path).json()["volume"]["status"] == "available"
    operation = fleet.operation("volume.reset", volume)
    assert (operation["state"], operation["id"]) == ("succeeded", answer.headers["Volumed-Operation-Id"])


def test_a_volume_whose_data_is_gone_cannot_be_reset_to_available(fleet: Fleet) -> None:
    volume = fleet.available()
    (data,) = fleet.outside.pools["one"].glob(f"volume-{volume}")
    kept = data.rename(data.with_name(".kept"))
    assert reset(fleet, f"/volumes/{volume}", "available").status_code == 202
    shown = fleet.ends(volume, "error")
    assert shown["volumed:error"]["type"] == "DataMissing"
    assert f"the data of volume {volume} is missing there" in shown["volumed:error"]["message"]
    kept.rename(data)
    assert reset(fleet, f"/volumes/{volume}", "available").status_code == 202
    assert "volumed:error" not in fleet.ends(volume, "available")


def test_an_attached_volume_is_reset_to_what_its_attachments_say(fleet: Fleet) -> None:
    volume = fleet.available()
    assert fleet.attach(volume).status_code == 200
    assert reset(fleet, f"/volumes/{volume}", "error").status_code == 400  # attaching is no status to rest in
    (attachment,) = fleet.rest.get("/attachments").json()["attachments"]
    fleet.rest.post(f"/attachments/{attachment['id']}/action", json={"os-complete": {}}).raise_for_status()
    assert reset(fleet, f"/volumes/{volume}", "error").status_code == 202
    fleet.ends(volume, "error")
    refused = reset(fleet, f"/volumes/{volume}", "available")
    assert (refused.status_code, "1 attachments" in refused.text) == (400, True)
    assert reset(fleet, f"/volumes/{volume}", "in-use").status_code == 202
    fleet.ends(volume, "in-use")


def test_a_backend_that_cannot_say_leaves_the_status_as_it_is(fleet: Fleet) -> None:
    volume = fleet.available()
    assert reset(fleet, f"/volumes/{volume}", "error").status_code == 202
    fleet.faults["one"].order("has_volume", "BackendUnreachable")
    answer = reset(fleet, f"/volumes/{volume}", "available")
    assert (answer.status_code, "has_volume was told to fail" in answer.text) == (503, True)
    assert fleet.ends(volume, "error")


def test_a_reset_is_refused_while_an_operation_is_live_and_for_a_volume_on_no_backend(fleet: Fleet) -> None:
    volume = fleet.available()
    fleet.faults["one"].order("extend", None, pause=1.0)
    fleet.rest.post(f"/volumes/{volume}/action", json={"os-extend": {"new_size": 2}}).raise_for_status()
    refused = reset(fleet, f"/volumes/{volume}", "available")
    assert (refused.status_code, "volume.extend" in refused.text) == (400, True)
    fleet.ends(volume, "available")
    fleet.faults["one"].order("create", "BackendInvalid")
    nowhere = fleet.create()
    fleet.ends(nowhere, "error")
    refused = reset(fleet, f"/volumes/{nowhere}", "available")
    assert (refused.status_code, "is on no backend" in refused.text) == (400, True)


def test_a_snapshot_is_reset_to_what_is_true(fleet: Fleet) -> None:
    volume = fleet.available()
    made = fleet.rest.post("/snapshots", json={"snapshot": {"volume_id": volume}}).json()["snapshot"]
    path = f"/snapshots/{made['id']}"
    fleet.rest.wait_for_status(path, "available")
    assert reset(fleet, path, "error").status_code == 202
    fleet.rest.wait_for_status(path, "error")
    assert reset(fleet, path, "available").status_code == 202
    fleet.rest.wait_for_status(path, "available")
    (data,) = fleet.outside.pools["one"].glob(f"*{made['id']}*")
    kept = data.rename(data.with_name(".kept"))
    assert reset(fleet, path, "available").status_code == 202
    fleet.rest.wait_for_status(path, "error")
    kept.rename(data)
    assert reset(fleet, path, "available").status_code == 202
    fleet.rest.wait_for_status(path, "available")


def test_a_reset_leaves_alone_what_only_the_extend_can_make_whole(fleet: Fleet) -> None:
    volume = fleet.available()
    fleet.faults["one"].order("extend", "BackendFull", lasting=True)
    fleet.rest.post(f"/volumes/{volume}/action", json={"os-extend": {"new_size": 3}}).raise_for_status()
    fleet.ends(volume, "error_extending")
    fleet.faults["one"].clear()
    data = fleet.outside.pools["one"] / f"volume-{volume}"
    kept = data.rename(data.with_name(".kept"))
    refused = reset(fleet, f"/volumes/{volume}", "available")
    assert (refused.status_code, "retry the extend, or delete the volume" in refused.text) == (400, True)
    assert fleet.ends(volume, "error_extending")
    kept.rename(data)
    assert reset(fleet, f"/volumes/{volume}", "available").status_code == 202
    fleet.ends(volume, "available")


def test_what_is_made_again_is_not_taken_for_what_the_first_attempt_left(fleet: Fleet) -> None:
    """A cleanup that waits for the backend removes what its own attempt made, and nothing that came after it."""
    faults = fleet.faults["one"]
    faults.order("create", "BackendUnreachable", after=True, lasting=True)
    faults.order("delete", "BackendUnreachable", lasting=True)
    volume = fleet.create()
    fleet.ends(volume, "error")
    assert fleet.operation("cleanup")["ended_at"] is None
    faults.clear()
    faults.order("delete", "BackendUnreachable", times=2)
    retried(fleet, fleet.operation("volume.create", volume))
    fleet.ends(volume, "available")
    fleet.wait_until_settled()
    assert (fleet.outside.pools["one"] / f"volume-{volume}").exists()
    assert fleet.allocated() == 1

"""A backend that fails: the resource ends in its declared error status with the reason, and is usable again after."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.faulty_fleet import CONNECTOR, Fleet, faulty_fleet

pytestmark = pytest.mark.part("tgtd")


@pytest.fixture(scope="module")
def one_backend(deployed: str) -> Iterator[Fleet]:
    with faulty_fleet("one", target="tgt") as fleet:
        yield fleet


@pytest.fixture
def fleet(one_backend: Fleet) -> Iterator[Fleet]:
    """The module's fleet, well again and without a difference at the end of each test."""
    yield one_backend
    one_backend.faults["one"].clear()
    for volume in one_backend.rest.get("/volumes").json()["volumes"]:
        for attachment in one_backend.rest.get("/attachments", params={"volume_id": volume["id"]}).json()[
            "attachments"
        ]:
            one_backend.rest.delete(f"/attachments/{attachment['id']}").raise_for_status()
        one_backend.delete(volume["id"])
    one_backend.wait_until_settled()
    assert (one_backend.allocated(), one_backend.in_use()) == (0, 0)


@pytest.fixture
def volume_id(fleet: Fleet) -> str:
    return fleet.available()


# --- delete ---------------------------------------------------------------------------------------------------------


def test_a_delete_that_fails_a_few_times_succeeds(fleet: Fleet, volume_id: str) -> None:
    fleet.faults["one"].order("delete", "BackendBusy", times=2)
    fleet.delete(volume_id)
    operation = fleet.operation("volume.delete", volume_id)
    assert operation["state"] == "succeeded"
    removals = [each["outcome"] for each in operation["timeline"] if each["step"] == "remove"]
    assert removals == ["failed", "failed", "done"]


def test_a_delete_that_always_fails_ends_error_deleting_and_a_later_one_works(fleet: Fleet, volume_id: str) -> None:
    fleet.faults["one"].order("delete", "BackendUnreachable", lasting=True)
    assert fleet.rest.delete(f"/volumes/{volume_id}").status_code == 202
    volume = fleet.ends(volume_id, "error_deleting")
    assert volume["volumed:error"]["message"] == "one cannot be reached: delete was told to fail"
    assert fleet.operation("volume.delete", volume_id)["error"] == volume["volumed:error"]
    assert (fleet.allocated(), fleet.in_use()) == (1, 1)
    fleet.faults["one"].clear()
    fleet.delete(volume_id)


def test_an_error_after_the_delete_took_effect_is_no_error(fleet: Fleet, volume_id: str) -> None:
    fleet.faults["one"].order("delete", "OutcomeUnknown", after=True)
    fleet.delete(volume_id)


# --- extend ---------------------------------------------------------------------------------------------------------


def extend(fleet: Fleet, volume_id: str, new_size: int) -> None:
    answer = fleet.rest.post(f"/volumes/{volume_id}/action", json={"os-extend": {"new_size": new_size}})
    assert answer.status_code == 202, answer.text


def test_an_extend_that_fails_ends_error_extending_and_gives_its_quota_back(fleet: Fleet, volume_id: str) -> None:
    fleet.faults["one"].order("extend", "BackendFull", lasting=True)
    extend(fleet, volume_id, 3)
    volume = fleet.ends(volume_id, "error_extending")
    assert volume["volumed:error"]["type"] == "BackendFull"
    assert volume["size"] == 1
    assert (fleet.allocated(), fleet.in_use()) == (1, 1)
    fleet.wait_until_settled()


def test_an_extend_whose_outcome_was_unknown_succeeds_by_asking_again(fleet: Fleet, volume_id: str) -> None:
    fleet.faults["one"].order("extend", "OutcomeUnknown", after=True)
    extend(fleet, volume_id, 3)
    assert fleet.ends(volume_id, "available")["size"] == 3
    assert (fleet.allocated(), fleet.in_use()) == (3, 3)
    fleet.wait_until_settled()


# --- snapshots ------------------------------------------------------------------------------------------------------


def snapshot(fleet: Fleet, volume_id: str) -> str:
    answer = fleet.rest.post("/snapshots", json={"snapshot": {"volume_id": volume_id}})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["snapshot"]["id"])


def delete_snapshot(fleet: Fleet, snapshot_id: str) -> None:
    assert fleet.rest.delete(f"/snapshots/{snapshot_id}").status_code == 202
    fleet.rest.wait_until_gone(f"/snapshots/{snapshot_id}")


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
def test_a_snapshot_that_fails_is_an_error_and_leaves_nothing(fleet: Fleet, volume_id: str, after: bool) -> None:
    fleet.faults["one"].order("create_snapshot", "OutcomeUnknown", after=after)
    snapshot_id = snapshot(fleet, volume_id)
    fleet.rest.wait_for_status(f"/snapshots/{snapshot_id}", "error")
    assert "create_snapshot was told to fail" in fleet.operation("snapshot.create", snapshot_id)["error"]["message"]
    fleet.wait_until_settled()
    assert fleet.in_use("snapshots") == 1
    delete_snapshot(fleet, snapshot_id)
    assert fleet.in_use("snapshots") == 0


def test_a_snapshot_that_could_not_be_undone_goes_with_its_delete(fleet: Fleet, volume_id: str) -> None:
    fleet.faults["one"].order("create_snapshot", "OutcomeUnknown", after=True)
    fleet.faults["one"].order("delete_snapshot", "BackendUnreachable", lasting=True)
    snapshot_id = snapshot(fleet, volume_id)
    fleet.rest.wait_for_status(f"/snapshots/{snapshot_id}", "error")
    fleet.faults["one"].clear()
    delete_snapshot(fleet, snapshot_id)


def test_a_snapshot_delete_that_always_fails_ends_error_deleting(fleet: Fleet, volume_id: str) -> None:
    snapshot_id = snapshot(fleet, volume_id)
    fleet.rest.wait_for_status(f"/snapshots/{snapshot_id}", "available")
    fleet.faults["one"].order("delete_snapshot", "BackendUnreachable", lasting=True)
    assert fleet.rest.delete(f"/snapshots/{snapshot_id}").status_code == 202
    fleet.rest.wait_for_status(f"/snapshots/{snapshot_id}", "error_deleting")
    fleet.faults["one"].clear()
    delete_snapshot(fleet, snapshot_id)


# --- attach and detach ----------------------------------------------------------------------------------------------


def only_attachment(fleet: Fleet, volume_id: str) -> dict[str, Any]:
    found = fleet.rest.get("/attachments/detail", params={"volume_id": volume_id}).json()["attachments"]
    assert len(found) == 1
    return dict(found[0])


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
def test_an_attach_that_fails_says_why_and_the_volume_is_usable_again(
    fleet: Fleet, volume_id: str, after: bool
) -> None:
    fleet.faults["one"].order("ensure_export", "BackendUnreachable", after=after)
    answer = fleet.attach(volume_id)
    assert answer.status_code == 503
    assert "ensure_export was told to fail" in answer.text
    attachment = only_attachment(fleet, volume_id)
    assert attachment["status"] == "error_attaching"
    fleet.ends(volume_id, "reserved")
    fleet.wait_until_settled()
    assert fleet.rest.delete(f"/attachments/{attachment['id']}").status_code == 200
    fleet.ends(volume_id, "available")
    assert fleet.attach(volume_id).status_code == 200


def test_a_failed_attachment_may_be_asked_again(fleet: Fleet, volume_id: str) -> None:
    fleet.faults["one"].order("ensure_export", "BackendUnreachable")
    assert fleet.attach(volume_id).status_code == 503
    path = f"/attachments/{only_attachment(fleet, volume_id)['id']}"
    again = fleet.rest.put(path, json={"attachment": {"connector": CONNECTOR}})
    assert again.status_code == 200
    assert again.json()["attachment"]["connection_info"]["auth_password"]


def test_an_access_that_could_not_be_undone_is_taken_away_when_the_backend_is_well(
    fleet: Fleet, volume_id: str
) -> None:
    fleet.faults["one"].order("connection_info", "BackendUnreachable")
    fleet.faults["one"].order("remove_export", "BackendUnreachable", lasting=True)
    assert fleet.attach(volume_id).status_code == 503
    assert fleet.outside.targets() == {volume_id}
    fleet.faults["one"].clear()
    fleet.wait_until_settled()
    assert fleet.outside.targets() == set()


def test_a_detach_that_fails_ends_error_detaching_and_works_when_asked_again(fleet: Fleet, volume_id: str) -> None:
    path = f"/attachments/{fleet.attach(volume_id).json()['attachment']['id']}"
    fleet.rest.post(f"{path}/action", json={"os-complete": {}}).raise_for_status()
    fleet.faults["one"].order("remove_export", "BackendUnreachable", lasting=True)
    assert fleet.rest.delete(path).status_code == 503
    assert only_attachment(fleet, volume_id)["status"] == "error_detaching"
    fleet.ends(volume_id, "in-use")
    fleet.wait_until_settled()
    fleet.faults["one"].clear()
    assert fleet.rest.delete(path).status_code == 200
    fleet.ends(volume_id, "available")


def test_a_detach_that_failed_after_its_effect_is_undone_as_its_row_says(fleet: Fleet, volume_id: str) -> None:
    path = f"/attachments/{fleet.attach(volume_id).json()['attachment']['id']}"
    fleet.faults["one"].order("remove_export", "OutcomeUnknown", after=True, lasting=True)
    assert fleet.rest.delete(path).status_code == 500
    assert only_attachment(fleet, volume_id)["status"] == "error_detaching"
    fleet.faults["one"].clear()
    fleet.wait_until_settled()
    assert fleet.outside.targets() == {volume_id}
    assert fleet.rest.delete(path).status_code == 200
    fleet.ends(volume_id, "available")


def test_a_detach_that_fails_a_few_times_succeeds(fleet: Fleet, volume_id: str) -> None:
    path = f"/attachments/{fleet.attach(volume_id).json()['attachment']['id']}"
    fleet.faults["one"].order("remove_export", "OutcomeUnknown", times=2)
    assert fleet.rest.delete(path).status_code == 200
    fleet.ends(volume_id, "available")


# --- two backends on one node ---------------------------------------------------------------------------------------


def test_backends_beside_each_other_leave_each_others_exports_alone() -> None:
    with faulty_fleet("one", "two", target="tgt") as fleet:
        fleet.faults["one"].order("create", "BackendFull")
        volumes = [fleet.available(), fleet.available()]
        assert {fleet.backend_of(volume) for volume in volumes} == {"one", "two"}
        attachments = [fleet.attach(volume).json()["attachment"]["id"] for volume in volumes]
        assert fleet.outside.targets() == set(volumes)
        fleet.daemon.kill()
        fleet.start()
        fleet.available()  # both backends are up and have compared their exports
        assert fleet.outside.targets() == set(volumes)
        for attachment_id in attachments:
            assert fleet.rest.delete(f"/attachments/{attachment_id}").status_code == 200
        assert fleet.outside.targets() == set()

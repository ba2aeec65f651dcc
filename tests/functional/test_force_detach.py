"""A connector that is logged in and does not log out: its detach waits for it, until somebody forces the detach."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.daemon import Session
from tests.lab.faulty_fleet import CONNECTOR, Fleet, faulty_fleet

pytestmark = pytest.mark.embedded_only("its backend fails on order")

INSTANCES = ("0b9a4e4e-6d0e-4d0a-8a0c-5f1f0a4f7a11", "0b9a4e4e-6d0e-4d0a-8a0c-5f1f0a4f7a12")


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with faulty_fleet("one") as fleet:
        yield fleet


def logged_in(fleet: Fleet) -> str:
    """A volume with a connector that is logged in."""
    volume = fleet.available()
    assert fleet.attach(volume).status_code == 200
    fleet.faults["one"].order("remove_export", "BackendBusy", lasting=True, unless_forced=True)
    return volume


def attachment_of(fleet: Fleet, volume: str) -> str:
    (found,) = fleet.rest.get("/attachments", params={"volume_id": volume}).json()["attachments"]
    return str(found["id"])


def waiting_detach(fleet: Fleet) -> dict[str, Any] | None:
    query = {"kind": "attachment.detach", "state": "waiting"}
    found = fleet.rest.get("/operations", params=query).json()["operations"]
    return dict(found[0]) if found else None


def force(rest: Session, volume: str, **asked: Any) -> Any:
    return rest.post(f"/volumes/{volume}/action", json={"os-force_detach": asked})


def test_a_detach_that_waits_is_forced(fleet: Fleet) -> None:
    volume = logged_in(fleet)
    path = f"/attachments/{attachment_of(fleet, volume)}"
    with fleet.asking(lambda rest: rest.delete(path)) as asked:
        waiting = fleet.until(lambda: waiting_detach(fleet))
        assert "remove_export was told to fail" in waiting["wait_reason"]
        forced = force(fleet.rest, volume, attachment_id=path.removeprefix("/attachments/"), connector=CONNECTOR)
    assert (forced.status_code, forced.headers["Volumed-Operation-Id"]) == (202, waiting["id"]), forced.text
    assert asked.answer.status_code == 200, asked.answer.text
    assert fleet.ends(volume, "available")["attachments"] == []
    assert fleet.operation("attachment.detach")["state"] == "succeeded"


def test_a_reconnection_that_fails_needs_a_detach_yet(fleet: Fleet) -> None:
    """Whoever was connected before may be logged in still; without its row nobody could put it out."""
    volume = fleet.available()
    assert fleet.attach(volume).status_code == 200
    path = f"/attachments/{attachment_of(fleet, volume)}"
    assert fleet.rest.post(f"{path}/action", json={"os-complete": {}}).status_code == 204
    fleet.faults["one"].order("ensure_export", "BackendInvalid", lasting=True)
    other = {**CONNECTOR, "initiator": "iqn.1993-08.org.debian:01:other"}
    assert fleet.rest.put(path, json={"attachment": {"connector": other}}).status_code >= 400
    fleet.until(lambda: fleet.rest.get(path).json()["attachment"]["status"] == "error_attaching")
    fleet.faults["one"].clear()
    assert fleet.rest.delete(path).status_code == 200
    assert fleet.operation("attachment.detach")["state"] == "succeeded"
    assert fleet.ends(volume, "available")["attachments"] == []


def test_a_forced_detach_waits_for_nobody(fleet: Fleet) -> None:
    volume = logged_in(fleet)
    forced = force(fleet.rest, volume)
    assert forced.status_code == 202, forced.text
    assert fleet.ends(volume, "available")["attachments"] == []
    assert len(fleet.operation("attachment.detach")["timeline"]) == 1


def test_a_classic_connection_is_terminated_by_force(fleet: Fleet) -> None:
    volume = logged_in(fleet)
    asked = {"os-terminate_connection": {"connector": CONNECTOR, "force": "true"}}
    answer = fleet.rest.post(f"/volumes/{volume}/action", json=asked)
    assert answer.status_code == 202, answer.text
    fleet.ends(volume, "available")


def test_only_an_administrator_forces_a_detach(fleet: Fleet) -> None:
    volume = logged_in(fleet)
    with fleet.daemon.session("member") as member:
        assert force(member, volume).status_code == 403
    assert force(fleet.rest, volume, attachment_id=volume).status_code == 404
    assert len(fleet.rest.get("/attachments").json()["attachments"]) == 1
    assert force(fleet.rest, volume).status_code == 202


def test_two_attachments_of_one_host_have_one_secret_and_the_first_to_go_leaves_the_other_in(fleet: Fleet) -> None:
    """A target knows one secret of an initiator, and two instances of a host may have one volume."""
    fleet.rest.post("/types", json={"volume_type": {"name": "many", "extra_specs": {"multiattach": "<is> True"}}})
    volume = fleet.available(volume_type="many")
    told = []
    for instance in INSTANCES:
        body = {"volume_uuid": volume, "instance_uuid": instance, "connector": CONNECTOR}
        answer = fleet.rest.post("/attachments", json={"attachment": body})
        assert answer.status_code == 200, answer.text
        told.append(answer.json()["attachment"])
    first, second = (each["connection_info"] for each in told)
    assert (first["auth_username"], first["auth_password"]) == (second["auth_username"], second["auth_password"])
    fleet.rest.delete(f"/attachments/{told[0]['id']}").raise_for_status()
    assert attachment_of(fleet, volume) == told[1]["id"]
    assert fleet.rest.get("/doctor").json()["doctor"]["findings"] == []
    fleet.rest.delete(f"/attachments/{told[1]['id']}").raise_for_status()
    fleet.ends(volume, "available")

"""Cancel: what is live is undone and says who asked; a delete that was asked meanwhile follows; nothing is left."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.lab.faulty_fleet import CONNECTOR, Fleet, faulty_fleet

#: Seconds that a call hangs, unless it is cancelled: longer than any wait of a test.
FOR_EVER = 120.0


@pytest.fixture(scope="module")
def shared(deployed: str) -> Iterator[Fleet]:
    with faulty_fleet("one", "two", options={"short_workers": 2}) as fleet:
        yield fleet


@pytest.fixture
def fleet(shared: Fleet) -> Iterator[Fleet]:
    """Well again at the end of each test, without a difference and without a finding."""
    yield shared
    for faults in shared.faults.values():
        faults.clear()
    for volume in shared.rest.get("/volumes").json()["volumes"]:
        shared.rest.delete(f"/volumes/{volume['id']}", params={"cascade": "true"}).raise_for_status()
        shared.rest.wait_until_gone(f"/volumes/{volume['id']}")
    shared.wait_until_settled()
    assert (shared.allocated(), shared.in_use()) == (0, 0)
    assert shared.rest.get("/doctor").json()["doctor"]["findings"] == []


def act(fleet: Fleet, operation_id: str, action: str) -> requests.Response:
    return fleet.rest.post(f"/operations/{operation_id}/action", json={action: {}})


def live(fleet: Fleet, kind: str) -> dict[str, Any]:
    found = fleet.rest.get("/operations", params={"state": "live", "kind": kind}).json()["operations"]
    return dict(found[0]) if found else {}


def ended(fleet: Fleet, operation_id: str, state: str = "failed") -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        shown = fleet.rest.get(f"/operations/{operation_id}").json()["operation"]
        return dict(shown) if shown["state"] in ("succeeded", "failed") else None

    found = fleet.until(look)
    assert found["state"] == state, found
    return dict(found)


def in_its_step(fleet: Fleet, kind: str) -> dict[str, Any]:
    """The live operation of the kind, once its driver is in the call that a fault lets hang."""

    def look() -> dict[str, Any] | None:
        found = live(fleet, kind)
        return found if found.get("state") == "running" else None

    return dict(fleet.until(look))


def test_a_copy_is_cancelled_in_the_middle_and_nothing_of_it_is_left(fleet: Fleet) -> None:
    source = fleet.available()
    on = fleet.faults[fleet.backend_of(source) or ""]
    on.order("create_from_volume", None, pause=FOR_EVER, beats=True)
    clone = fleet.create(source_volid=source)
    operation = in_its_step(fleet, "volume.create")
    answer = act(fleet, operation["id"], "cancel")
    assert (answer.status_code, answer.json()["operation"]["id"]) == (202, operation["id"])
    error = ended(fleet, operation["id"])["error"]
    assert error["type"] == "Cancelled"
    assert error["message"].startswith("cancelled as user admin asked (request req-")
    assert fleet.ends(clone, "error")["volumed:error"] == error
    assert fleet.outside.files() == {f"volume-{source}"}


def test_a_call_that_tells_no_progress_is_undone_when_it_returns(fleet: Fleet) -> None:
    fleet.faults["one"].order("create", None, pause=1.0)
    volume = fleet.create()
    operation = in_its_step(fleet, "volume.create")
    assert act(fleet, operation["id"], "cancel").status_code == 202
    shown = fleet.rest.get(f"/operations/{operation['id']}").json()["operation"]
    assert shown["cancel_requested"]
    ended(fleet, operation["id"])
    fleet.ends(volume, "error")
    assert fleet.outside.files() == set()


def test_a_retry_on_another_backend_is_not_begun_after_a_cancellation(fleet: Fleet) -> None:
    fleet.faults["one"].order("create", "BackendFull", pause=1.0)
    fleet.create()
    operation = in_its_step(fleet, "volume.create")
    act(fleet, operation["id"], "cancel")
    assert ended(fleet, operation["id"])["error"]["type"] == "Cancelled"


def test_an_attach_is_cancelled(fleet: Fleet) -> None:
    volume = fleet.available()
    fleet.faults[fleet.backend_of(volume) or ""].order("ensure_export", None, pause=1.0)
    with fleet.asking(lambda rest: attach(rest, volume)) as asked:
        operation = in_its_step(fleet, "attachment.attach")
        assert act(fleet, operation["id"], "cancel").status_code == 202
    assert asked.answer.status_code == 409, asked.answer.text
    assert ended(fleet, operation["id"])["error"]["type"] == "Cancelled"
    fleet.ends(volume, "reserved")
    fleet.rest.delete(f"/attachments/{operation['resource_id']}").raise_for_status()
    fleet.ends(volume, "available")


def test_the_delete_of_an_attachment_that_is_let_in_takes_it_back_first(fleet: Fleet) -> None:
    volume = fleet.available()
    fleet.faults[fleet.backend_of(volume) or ""].order("ensure_export", None, pause=1.0)
    with fleet.asking(lambda rest: attach(rest, volume)) as asked:
        operation = in_its_step(fleet, "attachment.attach")
        deleted = fleet.rest.delete(f"/attachments/{operation['resource_id']}")
    assert deleted.status_code == 200, deleted.text
    assert asked.answer.status_code in (404, 409), asked.answer.text
    detach = fleet.rest.get(f"/operations/{deleted.headers['Volumed-Operation-Id']}").json()["operation"]
    assert (detach["kind"], detach["state"]) == ("attachment.detach", "succeeded")
    fleet.ends(volume, "available")


def test_a_forced_delete_cancels_the_create_and_follows_it(fleet: Fleet) -> None:
    source = fleet.available()
    fleet.faults[fleet.backend_of(source) or ""].order("create_from_volume", None, pause=FOR_EVER, beats=True)
    clone = fleet.create(source_volid=source)
    create = in_its_step(fleet, "volume.create")
    refused = fleet.rest.delete(f"/volumes/{clone}")
    assert refused.status_code == 400
    accepted = fleet.rest.delete(f"/volumes/{clone}", params={"force": "true"})
    again = fleet.rest.delete(f"/volumes/{clone}", params={"force": "true"})
    assert (accepted.status_code, again.status_code) == (202, 202)
    delete = accepted.headers["Volumed-Operation-Id"]
    assert again.headers["Volumed-Operation-Id"] in (delete, None) or again.status_code == 404
    assert ended(fleet, delete, "succeeded")["kind"] == "volume.delete"
    assert ended(fleet, create["id"])["error"]["type"] == "Cancelled"
    fleet.rest.wait_until_gone(f"/volumes/{clone}")


def test_a_forced_delete_follows_an_extend_that_cannot_be_taken_back(fleet: Fleet) -> None:
    volume = fleet.available()
    fleet.faults[fleet.backend_of(volume) or ""].order("extend", None, pause=1.0)
    fleet.rest.post(f"/volumes/{volume}/action", json={"os-extend": {"new_size": 2}}).raise_for_status()
    extend = in_its_step(fleet, "volume.extend")
    too_late = act(fleet, extend["id"], "cancel")
    assert too_late.status_code == 400
    assert "cannot be cancelled any more: it has begun" in too_late.text
    accepted = fleet.rest.delete(f"/volumes/{volume}", params={"force": "true"})
    assert accepted.status_code == 202
    waiting = fleet.rest.get(f"/operations/{accepted.headers['Volumed-Operation-Id']}").json()["operation"]
    assert (waiting["state"], extend["id"] in waiting["wait_reason"]) == ("waiting", True)
    fleet.rest.wait_until_gone(f"/volumes/{volume}")
    assert ended(fleet, extend["id"], "succeeded")


def test_what_has_no_way_back_or_has_ended_is_not_cancelled(fleet: Fleet) -> None:
    volume = fleet.available()
    done = fleet.operation("volume.create", volume)
    answer = act(fleet, done["id"], "cancel")
    assert answer.status_code == 400
    assert f"operation {done['id']} is succeeded" in answer.text
    fleet.faults[fleet.backend_of(volume) or ""].order("delete", None, pause=1.0)
    fleet.rest.delete(f"/volumes/{volume}").raise_for_status()
    answer = act(fleet, in_its_step(fleet, "volume.delete")["id"], "cancel")
    assert answer.status_code == 400
    assert "it has no way back" in answer.text
    fleet.rest.wait_until_gone(f"/volumes/{volume}")


def test_a_cancellation_outlives_the_process_that_was_to_hear_it(fleet: Fleet) -> None:
    source = fleet.available()
    on = fleet.faults[fleet.backend_of(source) or ""]
    on.order("create_from_volume", None, pause=FOR_EVER)
    clone = fleet.create(source_volid=source)
    operation = in_its_step(fleet, "volume.create")
    assert act(fleet, operation["id"], "cancel").status_code == 202
    fleet.daemon.kill()
    fleet.start()
    assert ended(fleet, operation["id"])["error"]["type"] == "Cancelled"
    fleet.ends(clone, "error")


def attach(rest: Any, volume_id: str) -> requests.Response:
    body = {"volume_uuid": volume_id, "connector": CONNECTOR}
    answer: requests.Response = rest.post("/attachments", json={"attachment": body})
    return answer

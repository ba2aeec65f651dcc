"""A copy is flattened after its create: in nobody's way, as long as it takes, and cancelled by a delete."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.faulty_fleet import Fleet, faulty_fleet
from tests.lab.flattening_driver import mark_of

pytestmark = pytest.mark.embedded_only("its backend fails on order")

DRIVER = "tests.lab.flattening_driver.FaultyFlatteningDriver"


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with faulty_fleet("one", driver=DRIVER, options={"progress_interval": 0.1}) as fleet:
        yield fleet


def flatten_of(fleet: Fleet, volume_id: str, state: str) -> dict[str, Any]:
    """The volume's flattening, once it is in ``state``."""

    def look() -> dict[str, Any] | None:
        found = fleet.operation("volume.flatten", volume_id)
        return found if found["state"] == state else None

    return dict(fleet.until(look))


def test_a_copy_is_flattened_and_an_empty_volume_is_not(fleet: Fleet) -> None:
    source = fleet.available()
    copy = fleet.available(source_volid=source)
    assert flatten_of(fleet, copy, "succeeded")["lane"] == "idle"
    assert not mark_of(fleet.daemon.state, copy).exists()
    assert fleet.rest.get("/operations", params={"kind": "volume.flatten", "resource_id": source}).json() == {
        "operations": []
    }


def test_it_is_in_nobodys_way_and_goes_on_after_failures_and_a_kill(fleet: Fleet) -> None:
    source = fleet.available()
    fleet.faults["one"].order("flatten", "BackendUnreachable", times=4)  # more than forward_retries
    fleet.faults["one"].order("flatten", None, lasting=True, pause=600, beats=True)
    copy = fleet.available(source_volid=source)
    fleet.until(lambda: (timeline := flatten_of(fleet, copy, "running")["timeline"]) and "done_bytes" in timeline[-1])
    fleet.available(source_volid=copy)
    attached = fleet.attach(copy)
    assert attached.status_code == 200, attached.text
    fleet.rest.delete(f"/attachments/{attached.json()['attachment']['id']}").raise_for_status()
    given_away = fleet.rest.post(f"/volumes/{copy}/action", json={"os-unmanage": {}})
    assert (given_away.status_code, "volume.flatten" in given_away.text) == (400, True)
    assert fleet.rest.get("/doctor").json()["doctor"]["findings"] == []
    fleet.daemon.kill()
    fleet.faults["one"].clear()
    fleet.start()
    flatten_of(fleet, copy, "succeeded")


def test_a_delete_cancels_it_and_follows(fleet: Fleet) -> None:
    source = fleet.available()
    fleet.faults["one"].order("flatten", None, lasting=True, pause=600, beats=True)
    copy = fleet.available(source_volid=source)
    flatten = flatten_of(fleet, copy, "running")
    deleted = fleet.rest.delete(f"/volumes/{copy}")
    again = fleet.rest.delete(f"/volumes/{copy}")
    assert (deleted.status_code, again.status_code) == (202, 202)
    assert deleted.headers["Volumed-Operation-Id"] == again.headers["Volumed-Operation-Id"]
    fleet.rest.wait_until_gone(f"/volumes/{copy}")
    assert fleet.operation("volume.flatten", copy)["error"]["type"] == "Cancelled"
    told = fleet.rest.get("/events", params={"resource_id": copy, "all_tenants": 1}).json()["events"]
    assert [each["event_type"] for each in told if "delete" in each["event_type"]] == [
        "volume.delete.start",
        "volume.delete.end",
    ]
    assert flatten["id"] != deleted.headers["Volumed-Operation-Id"]


def test_what_can_never_be_flattened_ends_failed_and_the_volume_stays_as_it_is(fleet: Fleet) -> None:
    source = fleet.available()
    fleet.faults["one"].order("flatten", "BackendInvalid")
    copy = fleet.available(source_volid=source)
    assert flatten_of(fleet, copy, "failed")["error"]["type"] == "BackendInvalid"
    fleet.ends(copy, "available")
    fleet.delete(copy)


def test_one_that_failed_is_done_again_once_at_a_time(fleet: Fleet) -> None:
    source = fleet.available()
    fleet.faults["one"].order("flatten", "BackendInvalid")
    copy = fleet.available(source_volid=source)
    failed = flatten_of(fleet, copy, "failed")
    fleet.faults["one"].order("flatten", None, lasting=True, pause=600, beats=True)
    path = f"/operations/{failed['id']}/action"
    again, joined = (fleet.rest.post(path, json={"retry": {}}).json()["operation"] for _ in range(2))
    assert (again["id"], again["kind"], again["lane"]) == (joined["id"], "volume.flatten", "idle")
    flatten_of(fleet, copy, "running")
    fleet.delete(copy)
    assert fleet.rest.post(path, json={"retry": {}}).status_code == 404

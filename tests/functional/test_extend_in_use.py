"""Growth of what is attached or exported: the export serves the new size, and the end follows from the attachments."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import rows
from tests.lab.faulty_fleet import Fleet, faulty_fleet
from volumed.operations.locks import Claims, NodeLocks

pytestmark = pytest.mark.embedded_only("an extend is an operation of one backend's queue")


@pytest.fixture(scope="module")
def growing() -> Iterator[Fleet]:
    """A backend whose target shows growth."""
    with faulty_fleet("one") as fleet:
        yield fleet


@pytest.fixture
def fleet(growing: Fleet) -> Iterator[Fleet]:
    """It is well again and empty at the end of each test."""
    yield growing
    growing.faults["one"].clear()
    for volume in growing.rest.get("/volumes").json()["volumes"]:
        for attachment in attachments(growing, volume["id"]):
            growing.rest.delete(f"/attachments/{attachment['id']}").raise_for_status()
        growing.delete(volume["id"])
    assert (growing.allocated(), growing.in_use()) == (0, 0)


def attachments(fleet: Fleet, volume: str) -> list[dict[str, Any]]:
    return list(fleet.rest.get("/attachments", params={"volume_id": volume}).json()["attachments"])


def in_use(fleet: Fleet) -> str:
    """A volume of 1 GiB that somebody uses."""
    volume = fleet.available()
    attachment = fleet.attach(volume).json()["attachment"]["id"]
    fleet.rest.post(f"/attachments/{attachment}/action", json={"os-complete": {}}).raise_for_status()
    fleet.ends(volume, "in-use")
    return volume


def extend(fleet: Fleet, volume: str, size: int = 3) -> Any:
    return fleet.rest.post(f"/volumes/{volume}/action", json={"os-extend": {"new_size": size}})


def exported(fleet: Fleet) -> dict[str, Any]:
    """What the target has, by volume."""
    records = fleet.daemon.state / "fake-exports-one.json"
    return dict(json.loads(records.read_text()))


def act(fleet: Fleet, operation: str, action: str) -> Any:
    return fleet.rest.post(f"/operations/{operation}/action", json={action: {}})


def test_an_attached_volume_grows_with_its_export_and_stays_in_use(fleet: Fleet) -> None:
    volume = in_use(fleet)
    before = exported(fleet)[volume]
    assert extend(fleet, volume).status_code == 202
    assert fleet.ends(volume, "in-use")["size"] == 3
    assert exported(fleet)[volume] == before | {"size_bytes": 3 << 30}
    assert (fleet.allocated(), fleet.in_use()) == (3, 3)


def test_a_detach_meanwhile_waits_for_nothing_but_the_growth_and_the_volume_is_available(fleet: Fleet) -> None:
    volume = in_use(fleet)
    fleet.faults["one"].order("extend", None, pause=1.0)
    extend(fleet, volume)
    fleet.ends(volume, "extending")
    (attachment,) = attachments(fleet, volume)
    assert fleet.rest.delete(f"/attachments/{attachment['id']}").status_code == 200
    assert fleet.ends(volume, "available")["size"] == 3
    assert volume not in exported(fleet)


def test_one_that_fails_is_error_extending_keeps_who_is_in_and_is_done_again(fleet: Fleet) -> None:
    volume = in_use(fleet)
    fleet.faults["one"].order("extend", "BackendFull", lasting=True)
    extend(fleet, volume)
    assert fleet.ends(volume, "error_extending")["volumed:error"]["type"] == "BackendFull"
    assert (fleet.allocated(), fleet.in_use()) == (1, 1)
    assert exported(fleet)[volume]["accounts"], "whoever is in stays in"
    assert fleet.rest.delete(f"/volumes/{volume}").status_code == 400
    fleet.faults["one"].clear()
    assert act(fleet, fleet.operation("volume.extend", volume)["id"], "retry").status_code == 202
    assert fleet.ends(volume, "in-use")["size"] == 3
    assert (fleet.allocated(), fleet.in_use()) == (3, 3)


def test_a_retry_that_is_cancelled_leaves_it_half_grown_as_it_was(fleet: Fleet) -> None:
    volume = fleet.available()
    fleet.faults["one"].order("extend", "BackendFull", lasting=True)
    extend(fleet, volume)
    fleet.ends(volume, "error_extending")
    fleet.faults["one"].clear()
    with NodeLocks(fleet.daemon.state / "locks").holding(Claims(exclusive=[volume]), patience=5):
        act(fleet, fleet.operation("volume.extend", volume)["id"], "retry").raise_for_status()
        fleet.until(lambda: fleet.operation("volume.extend", volume)["state"] == "waiting")
        again = fleet.operation("volume.extend", volume)["id"]
        act(fleet, again, "cancel").raise_for_status()
        fleet.until(lambda: fleet.operation("volume.extend", volume)["state"] == "failed")
    assert fleet.ends(volume, "error_extending")["volumed:error"]["type"] == "Cancelled"
    assert (fleet.allocated(), fleet.in_use()) == (1, 1)


def test_a_reset_of_one_that_failed_says_that_it_is_in_use(fleet: Fleet) -> None:
    volume = in_use(fleet)
    fleet.faults["one"].order("extend", "BackendFull", lasting=True)
    extend(fleet, volume)
    fleet.ends(volume, "error_extending")
    reset = fleet.rest.post(f"/volumes/{volume}/action", json={"os-reset_status": {"status": "in-use"}})
    assert reset.status_code == 202, reset.text
    assert fleet.ends(volume, "in-use")["size"] == 1


@pytest.mark.parametrize("call", ["extend", "ensure_export"])
def test_one_that_is_killed_is_gone_on_with(call: str) -> None:
    with faulty_fleet("one") as fleet:
        volume = in_use(fleet)
        fleet.faults["one"].order(call, kills=True)
        extend(fleet, volume)
        fleet.until(lambda: not fleet.daemon.running)
        fleet.start()
        assert fleet.ends(volume, "in-use")["size"] == 3
        assert exported(fleet)[volume]["size_bytes"] == 3 << 30
        assert (fleet.allocated(), fleet.in_use()) == (3, 3)
        (attachment,) = attachments(fleet, volume)
        fleet.rest.delete(f"/attachments/{attachment['id']}").raise_for_status()


@pytest.mark.part("tgtd")
def test_where_the_target_does_not_show_growth_it_is_refused_at_once() -> None:
    with faulty_fleet("one", target="tgt") as fleet:
        volume = in_use(fleet)
        refused = extend(fleet, volume)
        assert (refused.status_code, "its backend does not support to extend" in refused.text) == (400, True)
        assert fleet.ends(volume, "in-use")["size"] == 1
        assert fleet.in_use() == 1
        (attachment,) = attachments(fleet, volume)
        fleet.rest.delete(f"/attachments/{attachment['id']}").raise_for_status()
        assert extend(fleet, volume).status_code == 202
        assert fleet.ends(volume, "available")["size"] == 3


def test_a_growth_that_somebody_kept_from_beginning_leaves_the_volume_as_it_was(fleet: Fleet) -> None:
    volume = fleet.available()
    fleet.faults["one"].order("extend", "BackendHeld", lasting=True)
    assert extend(fleet, volume).status_code == 202
    assert fleet.ends(volume, "available")["size"] == 1
    assert fleet.operation("volume.extend", volume)["error"]["type"] == "BackendHeld"
    assert (fleet.allocated(), fleet.in_use()) == (1, 1)


@pytest.mark.part("tgtd")
def test_where_the_backend_refuses_what_it_said_it_could_the_volume_is_in_use_as_before() -> None:
    with faulty_fleet("one", target="tgt") as fleet:
        volume = in_use(fleet)
        rows.execute(fleet.daemon.state, "UPDATE services SET extends_in_use = incarnation")
        assert extend(fleet, volume).status_code == 202
        found = fleet.ends(volume, "in-use")
        assert (found["size"], fleet.allocated(), fleet.in_use()) == (1, 1, 1)
        ended = fleet.operation("volume.extend", volume)
        assert (ended["state"], ended["error"]["type"]) == ("failed", "ExtendInUseUnsupported")
        (attachment,) = attachments(fleet, volume)
        fleet.rest.delete(f"/attachments/{attachment['id']}").raise_for_status()


# --- exported to nobody -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exporting() -> Iterator[Fleet]:
    """A backend that exports each volume from its creation on, and cannot grow what is exported."""
    with faulty_fleet("one", exported=True, driver="tests.lab.held_driver.HeldDriver") as fleet:
        yield fleet


def test_a_volume_that_its_export_holds_open_grows_while_the_export_is_away(exporting: Fleet) -> None:
    volume = exporting.available()
    assert extend(exporting, volume).status_code == 202
    assert exporting.ends(volume, "available")["size"] == 3
    assert exported(exporting)[volume]["size_bytes"] == 3 << 30
    exporting.delete(volume)


@pytest.mark.parametrize("call", ["remove_export", "extend", "ensure_export"])
def test_its_export_is_there_again_after_a_kill(exporting: Fleet, call: str) -> None:
    volume = exporting.available()
    exporting.faults["one"].order(call, kills=True)
    extend(exporting, volume)
    exporting.until(lambda: not exporting.daemon.running)
    exporting.start()
    assert exporting.ends(volume, "available")["size"] == 3
    assert exported(exporting)[volume]["size_bytes"] == 3 << 30
    exporting.delete(volume)


def test_its_export_is_there_again_when_the_growth_has_failed(exporting: Fleet) -> None:
    volume = exporting.available()
    exporting.faults["one"].order("extend", "BackendFull", lasting=True)
    extend(exporting, volume)
    exporting.ends(volume, "error_extending")
    exporting.until(lambda: volume in exported(exporting))
    exporting.faults["one"].clear()
    exporting.delete(volume)

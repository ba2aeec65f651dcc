"""What a delete leaves is purged by an operation of its own: as long as it takes, in order, and visible meanwhile."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.faulty_fleet import Fleet, faulty_fleet

pytestmark = pytest.mark.embedded_only("its backends fail on order")

DRIVER = "tests.lab.remaining_driver.FaultyRemainingDriver"


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with faulty_fleet("one", "two", driver=DRIVER, options={"progress_interval": 0.1}) as fleet:
        yield fleet


def purge_of(fleet: Fleet, volume_id: str) -> dict[str, Any]:
    query = {"kind": "volume.purge", "volume_id": volume_id, "all_tenants": 1}
    (found,) = fleet.rest.get("/operations", params=query).json()["operations"]
    return dict(fleet.rest.get(f"/operations/{found['id']}").json()["operation"])


def purge_once(fleet: Fleet, volume_id: str, state: str) -> dict[str, Any]:
    return dict(fleet.until(lambda: (found := purge_of(fleet, volume_id))["state"] == state and found))


def findings(fleet: Fleet) -> list[dict[str, Any]]:
    return list(fleet.rest.get("/doctor").json()["doctor"]["findings"])


def trash(fleet: Fleet) -> list[Path]:
    return [path for path in fleet.outside._paths() if path.name.startswith("remains-")]


def test_the_quota_is_free_with_the_delete_and_the_allocation_with_the_purge(fleet: Fleet) -> None:
    """What cannot be purged yet waits for as long as it takes, over restarts, and nobody takes it for a leftover."""
    volume_id = fleet.available(2)
    fleet.faults["one"].order("purge", "BackendBusy", lasting=True)
    fleet.delete(volume_id)
    assert (fleet.in_use(), fleet.allocated()) == (0, 2)
    fleet.until(lambda: len(purge_of(fleet, volume_id)["timeline"]) > 4)  # more than forward_retries
    waiting = purge_once(fleet, volume_id, "waiting")
    assert "purge was told to fail" in waiting["wait_reason"]
    assert findings(fleet) == []
    fleet.daemon.kill()
    fleet.start()
    assert purge_of(fleet, volume_id)["ended_at"] is None
    assert (findings(fleet), fleet.allocated()) == ([], 2)
    fleet.faults["one"].clear()
    assert purge_once(fleet, volume_id, "succeeded")["timeline"][-1]["outcome"] == "done"
    assert (fleet.allocated(), trash(fleet)) == (0, [])


def test_where_it_is_wished_the_quota_is_free_with_the_purge_alone() -> None:
    """Whoever counts it anew meanwhile comes to the same, and a cascade's snapshots are free at once."""
    with faulty_fleet("one", driver=DRIVER, start=False) as fleet:
        with (fleet.daemon.state / "volumed.conf").open("a") as configuration:
            configuration.write("[quota]\ncount_until_purged = true\n")
        fleet.start()
        volume_id = fleet.available(2)
        fleet.faults["one"].order("purge", "BackendBusy", lasting=True)
        fleet.delete(volume_id)
        assert (fleet.in_use(), fleet.in_use("volumes"), fleet.allocated()) == (2, 1, 2)
        purge_once(fleet, volume_id, "waiting")
        assert findings(fleet) == []
        fleet.daemon.kill()
        fleet.start()
        assert (findings(fleet), fleet.in_use()) == ([], 2)
        fleet.faults["one"].clear()
        purge_once(fleet, volume_id, "succeeded")
        assert (fleet.in_use(), fleet.in_use("volumes"), fleet.allocated()) == (0, 0, 0)
        fleet.wait_until_settled()


def test_a_long_purge_tells_its_progress_and_holds_up_no_copy(fleet: Fleet) -> None:
    source, *going = [fleet.available() for _ in range(3)]
    fleet.faults["one"].order("purge", None, lasting=True, pause=600, beats=True)
    for volume_id in going:
        fleet.delete(volume_id)
    running = purge_once(fleet, going[0], "running")
    assert (running["lane"], purge_of(fleet, going[1])["state"]) == ("idle", "queued")
    fleet.until(lambda: (timeline := purge_of(fleet, going[0])["timeline"]) and "done_bytes" in timeline[-1])
    fleet.available(source_volid=source)
    answer = fleet.rest.post(f"/operations/{running['id']}/action", json={"cancel": {}})
    assert answer.status_code == 400, answer.text
    fleet.daemon.kill()
    fleet.faults["one"].clear()
    fleet.start()
    for volume_id in going:
        purge_once(fleet, volume_id, "succeeded")


def test_what_the_undo_of_a_create_leaves_is_purged_while_the_volume_is_made_elsewhere(fleet: Fleet) -> None:
    fleet.faults["one"].order("create", "OutcomeUnknown", after=True)
    fleet.faults["one"].order("purge", "BackendBusy", lasting=True)
    volume_id = fleet.available(2)
    assert fleet.backend_of(volume_id) == "two"
    purge = purge_of(fleet, volume_id)
    assert purge["queue"].endswith("@one")
    assert fleet.allocated() == 4
    fleet.faults["one"].clear()
    fleet.wait_until_settled()
    assert fleet.allocated() == 2


def test_what_a_cleanup_leaves_is_purged(fleet: Fleet) -> None:
    fleet.faults["one"].order("create", "BackendInvalid", after=True)
    fleet.faults["one"].order("delete", "BackendUnreachable", lasting=True)
    volume_id = fleet.create()
    fleet.ends(volume_id, "error")
    fleet.faults["one"].clear()
    fleet.until(lambda: fleet.operation("cleanup")["state"] == "succeeded")
    purge_once(fleet, volume_id, "succeeded")
    fleet.wait_until_settled()
    assert fleet.allocated() == 0


def test_the_doctor_has_remains_purged_that_nobody_knows(fleet: Fleet) -> None:
    left = str(uuid.uuid4())
    fleet.available()
    path = fleet.outside.pools["one"] / f"remains-{left}.0"
    path.write_bytes(b"nobody's")
    (found,) = findings(fleet)
    assert (found["kind"], found["volume_id"]) == ("data.remains", left)
    fleet.rest.post("/doctor", json={"repair": {"finding": found["id"]}}).raise_for_status()
    fleet.until(lambda: not path.exists())
    purge_once(fleet, left, "succeeded")


def test_a_cascade_gives_back_what_each_project_pays_for(fleet: Fleet) -> None:
    """A snapshot is charged to whoever takes it, as an administrator may of another project's volume."""
    with fleet.daemon.session(user="tenant", project="tenant") as tenant:
        volume_id = tenant.make_volume()
        before = fleet.in_use("snapshots")
        made = fleet.rest.post("/snapshots", json={"snapshot": {"volume_id": volume_id}}).json()["snapshot"]["id"]
        fleet.rest.wait_for_status(f"/snapshots/{made}", "available")
        assert fleet.in_use("snapshots") == before + 1
        assert tenant.delete(f"/volumes/{volume_id}", params={"cascade": "true"}).status_code == 202
        tenant.wait_until_gone(f"/volumes/{volume_id}")
        used = tenant.get("/os-quota-sets/tenant", params={"usage": "true"}).json()["quota_set"]
        assert (fleet.in_use("snapshots"), used["snapshots"]["in_use"], used["volumes"]["in_use"]) == (before, 0, 0)
    assert findings(fleet) == []

"""A create that fails on its backend is undone and placed elsewhere; the API can say why, and nothing is left."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.lab.faulty_fleet import Fleet, faulty_fleet


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with faulty_fleet("one", "two", "three") as fleet:
        yield fleet


@pytest.fixture
def pair() -> Iterator[Fleet]:
    with faulty_fleet("one", "two") as fleet:
        yield fleet


def explain(fleet: Fleet, volume_id: str, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "volumed.cmd.volumed", "explain", volume_id, *options]
    environment = {**os.environ, "VOLUMED_URL": fleet.daemon.url, "VOLUMED_TOKEN": "admin:admin", "COLUMNS": "300"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


def test_a_create_that_fails_is_undone_and_placed_on_the_next_best_backend(fleet: Fleet) -> None:
    fleet.faults["one"].order("create", "BackendFull")
    volume_id = fleet.available(2)
    assert fleet.backend_of(volume_id) == "two"
    operation = fleet.operation("volume.create", volume_id)
    assert operation["attempt"] == 1
    assert [each["host"].partition("@")[2] for each in operation["tried"]] == ["one#pool"]
    assert "one cannot hold create: create was told to fail" in operation["tried"][0]["error"]["message"]
    assert operation["error"] is None
    steps = [(each["attempt"], each["direction"], each["step"], each["outcome"]) for each in operation["timeline"]]
    assert steps[:2] == [(0, "do", "provision", "failed"), (0, "undo", "provision", "done")]
    assert steps[2:] == [(1, "do", "provision", "done"), (1, "do", "export", "done")]
    fleet.wait_until_settled()
    fleet.delete(volume_id)
    assert fleet.allocated() == 0


def test_storages_that_were_tried_are_excluded_and_placement_and_explain_say_why(fleet: Fleet) -> None:
    fleet.faults["one"].order("create", "BackendFull")
    fleet.faults["two"].order("create", "BackendUnreachable")
    volume_id = fleet.available()
    assert fleet.backend_of(volume_id) == "three"
    placement = fleet.rest.get(f"/volumes/{volume_id}/placement").json()["placement"]
    assert placement["chosen"].endswith("@three#pool")
    refused = {each["host"].partition("@")[2]: each for each in placement["candidates"] if not each["passed"]}
    assert {each["filter"] for each in refused.values()} == {"AlreadyTriedFilter"}
    assert "one cannot hold create" in refused["one#pool"]["reason"]
    assert "two cannot be reached" in refused["two#pool"]["reason"]
    assert len(placement["tried"]) == 2
    told = explain(fleet, volume_id)
    assert told.returncode == 0
    assert "placed on" in told.stdout
    assert "one cannot hold create" in told.stdout
    assert "two cannot be reached" in told.stdout


def test_after_the_last_attempt_it_is_an_error_with_all_reasons_and_quota_until_it_is_deleted(fleet: Fleet) -> None:
    for name, error in (("one", "BackendFull"), ("two", "BackendUnreachable"), ("three", "OutcomeUnknown")):
        fleet.faults[name].order("create", error)
    volume_id = fleet.create(3)
    volume = fleet.ends(volume_id, "error")
    assert volume["os-vol-host-attr:host"] is None
    operation = fleet.operation("volume.create", volume_id)
    assert operation["state"] == "failed"
    assert [each["host"].partition("@")[2] for each in operation["tried"]] == ["one#pool", "two#pool", "three#pool"]
    for reason in ("one cannot hold create", "two cannot be reached", "outcome of create on three is unknown"):
        assert reason in operation["error"]["message"]
        assert reason in volume["volumed:error"]["message"]
    assert (fleet.allocated(), fleet.in_use(), fleet.in_use("volumes")) == (0, 3, 1)
    told = explain(fleet, volume_id)
    assert told.returncode != 0
    assert "two cannot be reached" in told.stdout
    assert json.loads(explain(fleet, volume_id, "--json").stdout)["placement"]["chosen"] is None
    fleet.delete(volume_id)
    assert (fleet.in_use(), fleet.in_use("volumes")) == (0, 0)


def test_when_no_backend_is_left_the_error_tells_what_became_of_each(pair: Fleet) -> None:
    pair.faults["one"].order("create", "BackendFull")
    pair.faults["two"].order("create", "BackendFull")
    volume = pair.ends(pair.create(), "error")
    for reason in ("one cannot hold create", "two cannot hold create", "AlreadyTriedFilter refused 2"):
        assert reason in volume["volumed:error"]["message"]
    pair.delete(volume["id"])
    assert (pair.in_use(), pair.allocated()) == (0, 0)


def test_what_is_wrong_everywhere_is_not_tried_elsewhere(pair: Fleet) -> None:
    pair.faults["one"].order("create", "BackendInvalid")
    volume = pair.ends(pair.create(), "error")
    assert volume["volumed:error"]["type"] == "BackendInvalid"
    assert "one refuses create" in volume["volumed:error"]["message"]
    assert "retry_elsewhere" not in volume["volumed:error"]


def test_an_error_after_the_effect_leaves_nothing_behind(pair: Fleet) -> None:
    pair.faults["one"].order("create", "OutcomeUnknown", after=True)
    volume_id = pair.available()
    assert pair.backend_of(volume_id) == "two"
    pair.wait_until_settled()


def test_an_undo_that_fails_is_tried_again(pair: Fleet) -> None:
    pair.faults["one"].order("create", "OutcomeUnknown", after=True)
    pair.faults["one"].order("delete", "BackendUnreachable", times=2)
    volume_id = pair.available()
    assert pair.backend_of(volume_id) == "two"
    undone = [each["outcome"] for each in pair.operation("volume.create", volume_id)["timeline"] if _is_undo(each)]
    assert undone == ["failed", "failed", "done"]
    assert pair.outside.rows("SELECT * FROM operations WHERE kind = 'cleanup'") == []


def _is_undo(step: dict[str, object]) -> bool:
    return step["direction"] == "undo" and step["step"] == "provision"


def test_an_undo_that_never_works_becomes_a_cleanup_and_the_request_goes_on(pair: Fleet) -> None:
    faults = pair.faults["one"]
    faults.order("create", "OutcomeUnknown", after=True)
    faults.order("delete", "BackendUnreachable", lasting=True)
    volume_id = pair.available(2)
    assert pair.backend_of(volume_id) == "two"
    cleanup = pair.operation("cleanup")
    assert cleanup["queue"].endswith("@one")
    assert pair.allocated() == 4  # the leftover is counted until it is gone
    assert any("has no row" in each for each in pair.outside.differences())
    faults.clear()
    pair.wait_until_settled()
    assert pair.allocated() == 2


def test_the_cleanup_outlives_the_volume_it_was_of(pair: Fleet) -> None:
    faults = pair.faults["one"]
    faults.order("create", "BackendInvalid", after=True)
    faults.order("delete", "BackendUnreachable", lasting=True)
    volume_id = pair.create()
    pair.ends(volume_id, "error")
    assert pair.operation("cleanup")["state"] in ("queued", "running", "waiting")
    pair.delete(volume_id)
    assert (pair.in_use(), pair.allocated()) == (0, 1)
    faults.clear()
    pair.wait_until_settled()
    assert pair.allocated() == 0


def test_a_cleanup_is_never_given_up(pair: Fleet) -> None:
    """A leftover that nobody removes would stay counted for ever: a cleanup goes on for as long as it takes."""
    faults = pair.faults["one"]
    faults.order("create", "BackendInvalid", after=True)
    faults.order("delete", "BackendUnreachable", times=30)
    pair.ends(pair.create(), "error")
    pair.daemon.kill()
    faults.clear()
    faults.order("delete", "BackendUnreachable", times=4)  # more than forward_retries
    pair.start()
    pair.wait_until_settled()
    assert pair.operation("cleanup")["state"] == "succeeded"
    assert pair.allocated() == 0


# --- nowhere to place it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "specs", "filter_name"),
    [
        (65_536, {}, "CapacityFilter"),
        (1, {"capabilities:storage_protocol": "Fibre Channel"}, "CapabilitiesFilter"),
    ],
)
def test_what_no_backend_can_take_is_an_error_with_the_explanation(
    pair: Fleet, size: int, specs: dict[str, str], filter_name: str
) -> None:
    pair.rest.put("/os-quota-sets/admin", json={"quota_set": {"gigabytes": -1}}).raise_for_status()
    made = pair.rest.post("/types", json={"volume_type": {"name": "wish", "extra_specs": specs}})
    made.raise_for_status()
    pair.available()  # every backend has reported
    volume = pair.ends(pair.create(size, volume_type="wish"), "error")
    assert f"{filter_name} refused 2" in volume["volumed:error"]["message"]
    placement = pair.rest.get(f"/volumes/{volume['id']}/placement").json()["placement"]
    assert placement["chosen"] is None
    assert placement["counts"] == {filter_name: 2}
    assert all(each["reason"] for each in placement["candidates"])
    pair.delete(volume["id"])


def test_a_zone_without_a_service_is_refused_at_once(pair: Fleet) -> None:
    answer = pair.rest.post("/volumes", json={"volume": {"size": 1, "availability_zone": "nowhere"}})
    assert answer.status_code == 400
    assert "nowhere" in answer.json()["badRequest"]["message"]
    assert pair.in_use() == 0


def test_while_no_driver_starts_the_api_serves_and_creates_wait_then_end_with_the_reason() -> None:
    with faulty_fleet("one", start=False) as fleet:
        fleet.faults["one"].order("do_setup", "BackendUnreachable", lasting=True)
        fleet.start(reported=False)
        volume_id = fleet.create()
        service = _service_once(fleet, "down")
        assert "one cannot be reached: do_setup was told to fail" in service["volumed:state_reason"]
        waiting = _create_once(fleet, "waiting")
        assert "@one (one cannot be reached: do_setup was told to fail) to report" in waiting["wait_reason"]
        volume = fleet.ends(volume_id, "error")
        assert volume["volumed:error"]["type"] == "NoValidBackend"
        assert "services that did not report in time: 1" in volume["volumed:error"]["message"]
        placement = fleet.rest.get(f"/volumes/{volume_id}/placement").json()["placement"]
        assert "do_setup was told to fail" in placement["awaited"][0]
        fleet.delete(volume_id)


def test_a_driver_that_comes_back_in_time_gets_what_waited_for_it() -> None:
    with faulty_fleet("one", options={"placement_timeout": 30}, start=False) as fleet:
        fleet.faults["one"].order("check_for_setup_error", "BackendInvalid", lasting=True)
        fleet.start(reported=False)
        volume_id = fleet.create()
        _service_once(fleet, "down")
        fleet.faults["one"].clear()
        fleet.ends(volume_id, "available")
        assert _service_once(fleet, "up")["volumed:state_reason"] is None


def _create_once(fleet: Fleet, state: str) -> dict[str, Any]:
    """The create as soon as it is in ``state``."""
    deadline = time.monotonic() + 10
    while (operation := fleet.operation("volume.create"))["state"] != state:
        assert time.monotonic() < deadline, operation
        time.sleep(0.05)
    return operation


def _service_once(fleet: Fleet, state: str) -> dict[str, Any]:
    """The volume service's entry as soon as it says ``state`` of itself."""
    deadline = time.monotonic() + 10
    while True:
        services = fleet.rest.get("/os-services", params={"binary": "volumed-volume"}).json()["services"]
        if services and services[0]["volumed:state"] == state:
            return dict(services[0])
        assert time.monotonic() < deadline, services
        time.sleep(0.05)


# --- and killed in the middle of it ---------------------------------------------------------------------------------


def fails_once(fleet: Fleet) -> None:
    fleet.faults["one"].order("create", "OutcomeUnknown", after=True)


def fails_and_cannot_be_undone(fleet: Fleet) -> None:
    fleet.faults["one"].order("create", "OutcomeUnknown", after=True)
    fleet.faults["one"].order("delete", "BackendUnreachable", times=5)


@pytest.mark.parametrize(
    ("order", "words", "passed"),
    [
        pytest.param(
            fails_once,
            ("undo", "requeued"),
            {"volume.create.undo.begun", "volume.create.provision.undo.before", "volume.create.requeued"},
            id="in the undo",
        ),
        pytest.param(
            fails_and_cannot_be_undone,
            ("cleanup", "requeued"),
            {"cleanup.remove.before", "cleanup.remove.after", "cleanup.succeeded"},
            id="in the cleanup",
        ),
    ],
)
def test_killed_at_each_point_of_the_way_back_it_is_resumed_and_ends_elsewhere(
    order: Callable[[Fleet], None], words: tuple[str, ...], passed: set[str]
) -> None:
    with faulty_fleet("one", "two", options={"undo_timeout": 0.15}) as fleet:
        order(fleet)
        with fleet.daemon.trap.noting() as noted:
            fleet.delete(fleet.available())
            fleet.wait_until_settled()
        points = sorted({point for point in noted if ":" not in point and any(word in point for word in words)})
        assert passed <= set(points)
        for point in points:
            _kill_at(fleet, order, point)


def _kill_at(fleet: Fleet, order: Callable[[Fleet], None], point: str) -> None:
    fleet.faults["one"].clear()
    order(fleet)
    fleet.daemon.trap.arm(point)
    try:
        volume_id = fleet.create()
    except requests.ConnectionError:
        volume_id = fleet.outside.rows("SELECT id FROM volumes")[0]["id"]
    fleet.daemon.wait_for_death()
    fleet.start()
    try:
        fleet.ends(volume_id, "available")
        fleet.wait_until_settled()
        fleet.delete(volume_id)
    except Exception as error:
        error.add_note(f"after kill -9 at {point}; the daemon said:\n{fleet.daemon.output()}")
        raise

"""Every error of a driver, at every step of every operation: undone, done elsewhere, or failed with the reason.

Each is raised before the call's effect and after it, once or for as long as it is asked. Whatever is left of it must be
in a declared status, with quota, allocation and backends as the rows say; the doctor must find nothing. The full
product (``make crash``) kills the daemon at each point of the undo beside it.
"""

import itertools
import time
from collections.abc import Iterator

import pytest
import requests

from tests.crash import steps
from tests.crash.killing import first_passages
from tests.crash.steps import CLEANUP, ERRORS, PATIENCE, REPAIR, Ended, Step, may_move, wait_for_end
from tests.lab.faulty_driver import UNFORESEEN
from tests.lab.faulty_fleet import Fleet, faulty_fleet

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.timeout(3600)]

OPTIONS = {"retry_pause": 0.02, "undo_timeout": 0.1, "forward_retries": 1}

#: One that goes elsewhere, one that does not, and one that nobody foresaw.
KINDS_OF_ERRORS = ("BackendFull", "BackendInvalid", UNFORESEEN)

UNDOABLE = [step for step in steps.ALL if not step.work.one_way]


@pytest.fixture(scope="module")
def fleets() -> Iterator[dict[bool, Fleet]]:
    """One whose volumes are exported when they are attached, and one where they are from their creation on."""
    with (
        faulty_fleet("one", "two", target="tgt", options=OPTIONS) as plain,
        faulty_fleet("one", "two", target="tgt", options=OPTIONS, exported=True) as exported,
    ):
        yield {False: plain, True: exported}


@pytest.fixture
def fleet(fleets: dict[bool, Fleet], step: Step) -> Iterator[Fleet]:
    """The fleet that has this step, with room for all cases; at the end without anything."""
    fleet = fleets[step.exported]
    quotas = {"volumes": 1000, "snapshots": 1000, "gigabytes": 10000}
    fleet.rest.put("/os-quota-sets/admin", json={"quota_set": quotas}).raise_for_status()
    yield fleet
    _empty(fleet, step)
    assert (fleet.allocated(), fleet.in_use()) == (0, 0)


@pytest.mark.parametrize("step", steps.ALL, ids=lambda step: step.name)
def test_a_failure_that_passes(fleet: Fleet, step: Step, cases: list[str]) -> None:
    for error, after in itertools.product(ERRORS, (False, True)):
        _fail(fleet, step, error, after, lasting=False)
        cases.append(f"{error} {after}")
    _is_well(fleet, but_for=_left_over(step))


@pytest.mark.parametrize("step", [each for each in steps.ALL if each.work.kind != CLEANUP], ids=lambda step: step.name)
def test_a_failure_that_stays(fleet: Fleet, step: Step, cases: list[str]) -> None:
    """A cleanup would be tried for as long as it stays, so there it passes."""
    for error, after in itertools.product(ERRORS, (False, True)):
        _fail(fleet, step, error, after, lasting=True)
        cases.append(f"{error} {after}")
    _is_well(fleet, but_for=_left_over(step))


@pytest.mark.full
@pytest.mark.parametrize("step", UNDOABLE, ids=lambda step: step.name)
@pytest.mark.parametrize("error", KINDS_OF_ERRORS)
def test_a_failure_and_a_kill_at_each_point_of_the_undo(fleet: Fleet, step: Step, error: str, cases: list[str]) -> None:
    for after in (False, True):
        with fleet.daemon.trap.noting() as noted:
            _fail(fleet, step, error, after, lasting=False)
        points = first_passages(noted)
        for point in points[points.index(f"{step.work.kind}.undo.begun") :]:
            _fail_and_die(fleet, step, error, after, point)
            cases.append(f"{error} {after} {point}")
        _empty(fleet, step)


# --- one case ---------------------------------------------------------------------------------------------------------


def _fail(fleet: Fleet, step: Step, error: str, after: bool, lasting: bool) -> None:
    made = step.prepare(fleet)
    step.order(fleet, error, after, lasting)
    try:
        resource_id = step.ask(fleet, made)
        _judge(fleet, step, error, after, lasting, wait_for_end(fleet, step, resource_id))
        assert lasting or not fleet.faults["one"].left(), "nobody met the fault"
    except Exception as trouble:
        trouble.add_note(f"{step.name}: {error}, after its effect: {after}, lasting: {lasting}")
        raise
    finally:
        fleet.faults["one"].clear()


def _fail_and_die(fleet: Fleet, step: Step, error: str, after: bool, point: str) -> None:
    made = step.prepare(fleet)
    before = {each["id"] for each in _operations(fleet, step)}
    step.order(fleet, error, after, lasting=False)
    fleet.daemon.trap.arm(point)
    try:
        step.ask(fleet, made)
    except (requests.RequestException, AssertionError):
        pass  # no answer, or the one of a daemon that has just died
    try:
        fleet.daemon.wait_for_death()
        fleet.start()
        (mine,) = [each for each in _operations(fleet, step) if each["id"] not in before]
        _judge(fleet, step, error, after, False, wait_for_end(fleet, step, mine["resource_id"]))
        _is_well(fleet)
    except Exception as trouble:
        trouble.add_note(f"{step.name}: {error}, after its effect: {after}, killed at {point}\n{fleet.daemon.output()}")
        raise
    finally:
        fleet.faults["one"].clear()


def _operations(fleet: Fleet, step: Step) -> list[dict[str, object]]:
    query = {"kind": step.work.kind, "all_tenants": 1}
    return list(fleet.rest.get("/operations", params=query).json()["operations"])


def _judge(fleet: Fleet, step: Step, error: str, after: bool, lasting: bool, ended: Ended) -> None:
    """The end is the declared one, and the API says why."""
    told = ended.operation["error"]
    if step.succeeds(error, after, lasting):
        assert (ended.operation["state"], ended.status) == ("succeeded", step.work.well), ended
        if step.work.moves:
            assert fleet.backend_of(ended.body["id"]) == "two", ended
        return
    assert (ended.operation["state"], ended.status) == ("failed", step.work.failed), ended
    assert told["message"], ended
    reasons = [told["type"], *(each["error"]["type"] for each in ended.operation["tried"])]
    assert ("BackendFull" if step.first else error) in reasons, ended
    if step.work.path is not None and step.work.path.startswith("/volumes"):
        assert ended.body["volumed:error"] == told, ended
    assert step.work.one_way or step.first or not may_move(error) or not step.work.moves, ended


# --- the world after it -----------------------------------------------------------------------------------------------


def _left_over(step: Step) -> str | None:
    """A repair that failed leaves its finding."""
    return "data.orphan" if step.work.kind == REPAIR else None


def _is_well(fleet: Fleet, but_for: str | None = None) -> None:
    """Wait until no operation is alive and the doctor finds nothing; what is left stays."""
    deadline = time.monotonic() + PATIENCE
    while found := [*fleet.outside.live_operations(), *_findings(fleet, but_for)]:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def _findings(fleet: Fleet, but_for: str | None) -> list[str]:
    told = fleet.rest.get("/doctor").json()["doctor"]
    blind = [f"not looked at: {told['not_looked_at']}"] if len(told["looked_at"]) < len(fleet.faults) else []
    return [each["evidence"] for each in told["findings"] if each["kind"] != but_for] + blind


def _empty(fleet: Fleet, step: Step) -> None:
    """Everything that was made is deleted through the API; nothing is left, seen from outside and by the doctor."""
    for kind in ("attachments", "snapshots", "volumes"):
        paths = [f"/{kind}/{each['id']}" for each in fleet.rest.get(f"/{kind}").json()[kind]]
        for path in paths:
            assert fleet.rest.delete(path).status_code in (200, 202), path
        for path in paths:
            fleet.rest.wait_until_gone(path)
    if step.work.kind == REPAIR:
        fleet.rest.post("/doctor", json={"repair": {"all": True}}).raise_for_status()
    _is_well(fleet)
    fleet.wait_until_settled()

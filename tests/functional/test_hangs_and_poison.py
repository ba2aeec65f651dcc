"""What never returns, what ignores a signal, what outlives its parent, what kills its process, a clock that jumps: each
has its declared end, and others are served meanwhile.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.lab.clock import Clock
from tests.lab.daemon import Session
from tests.lab.faulty_fleet import CONNECTOR, Fleet, faulty_fleet

#: Seconds that a call hangs: longer than the test, its bounds and its end.
FOR_EVER = 3600.0

DAY = 86400

BLOCKED = {"blocked_after": 0.5, "stuck_timeout": 0, "short_workers": 2, "long_workers": 1}


def operation_of(fleet: Fleet, resource_id: str) -> dict[str, Any]:
    found = fleet.rest.get("/operations", params={"resource_id": resource_id}).json()["operations"]
    return dict(found[0])


def findings(fleet: Fleet) -> list[dict[str, Any]]:
    return list(fleet.rest.get("/doctor").json()["doctor"]["findings"])


# --- calls that never return ------------------------------------------------------------------------------------------


def test_calls_that_never_return_are_told_and_others_are_served() -> None:
    with faulty_fleet("one", options=BLOCKED | {"retry_pause": 0.05}) as fleet:
        fleet.faults["one"].order("create", None, times=2, pause=FOR_EVER)
        hung = [fleet.create(), fleet.create()]  # as many as the lane has threads
        for volume in hung:
            reason = fleet.until(lambda volume=volume: operation_of(fleet, volume)["wait_reason"])
            assert reason.startswith("blocked by step provision: it has not returned for")
        served = fleet.available()
        assert fleet.attach(served).status_code == 200
        (attachment,) = fleet.rest.get("/attachments").json()["attachments"]
        fleet.rest.delete(f"/attachments/{attachment['id']}").raise_for_status()
        assert findings(fleet) == []
        assert {fleet.rest.get(f"/volumes/{each}").json()["volume"]["status"] for each in hung} == {"creating"}
        fleet.daemon.kill()
        fleet.start()
        for volume in hung:
            fleet.ends(volume, "available")
        for volume in (*hung, served):
            fleet.delete(volume)


@pytest.mark.embedded_only("the process stays the same; fleet/test_services.py has the other way")
def test_a_call_that_is_stuck_makes_the_process_start_again_and_go_on() -> None:
    with faulty_fleet("one", options=BLOCKED | {"stuck_timeout": 2}) as fleet:
        served = fleet.available()
        fleet.faults["one"].order("create", None, pause=FOR_EVER)
        pid, volume = fleet.daemon.pid, fleet.create()
        began = fleet.daemon.output().count("volumed serves ")
        fleet.until(lambda: fleet.daemon.output().count("volumed serves ") > began)
        assert fleet.daemon.pid == pid
        assert "is stuck in step provision" in fleet.daemon.output()
        fleet.rest = fleet.daemon.session()
        fleet.ends(volume, "available")
        assert fleet.rest.get(f"/volumes/{served}").json()["volume"]["status"] == "available"
        assert findings(fleet) == []
        for each in (volume, served):
            fleet.delete(each)


@pytest.mark.embedded_only("the process stays the same; fleet/test_services.py has the other way")
def test_a_stuck_process_that_starts_again_keeps_its_exports_and_its_address() -> None:
    with faulty_fleet("one", target="tgt", options=BLOCKED | {"stuck_timeout": 2}) as fleet:
        volume = fleet.available()
        assert fleet.attach(volume).status_code == 200
        (tgtd,) = [each for each in fleet.daemon.processes() if each.name() == "tgtd"]
        fleet.faults["one"].order("create", None, pause=FOR_EVER)
        url, other = fleet.daemon.url, fleet.create()
        began = fleet.daemon.output().count("volumed serves ")
        fleet.until(lambda: fleet.daemon.output().count(f"volumed serves {url}") > began)
        fleet.ends(other, "available")
        assert tgtd.is_running()
        assert fleet.outside.targets() == {volume}
        (attachment,) = fleet.rest.get("/attachments").json()["attachments"]
        fleet.rest.delete(f"/attachments/{attachment['id']}").raise_for_status()
        for each in (volume, other):
            fleet.delete(each)


# --- commands ---------------------------------------------------------------------------------------------------------


def test_a_command_that_ignores_sigterm_is_killed_and_its_operation_is_tried_elsewhere() -> None:
    with faulty_fleet("one", "two") as fleet:
        stubborn = ("sh", "-c", f"trap '' TERM; : {fleet.daemon.state}; while :; do sleep 0.2; done")
        fleet.faults["one"].order("create", None, command=stubborn, bound=0.5)
        volume = fleet.create()
        fleet.ends(volume, "available")
        assert fleet.backend_of(volume) == "two"
        (tried,) = fleet.operation("volume.create", volume)["tried"]
        assert "outcome of sh on one is unknown: it did not end within 0.5 s" in tried["error"]["message"]
        assert [each for each in fleet.daemon.processes() if each.name() == "sh"] == []
        assert findings(fleet) == []
        fleet.delete(volume)


def test_a_command_that_outlives_its_process_is_waited_for() -> None:
    with faulty_fleet("one") as fleet:
        script = f"echo $$ > {fleet.daemon.state}/command.pid; exec sleep 600"
        fleet.faults["one"].order("create", None, command=("sh", "-c", script), bound=600)
        volume, noted = fleet.create(), fleet.daemon.state / "command.pid"
        fleet.until(lambda: noted.exists() and noted.read_text().strip())
        fleet.daemon.kill()
        fleet.start()
        reason = fleet.until(lambda: operation_of(fleet, volume)["wait_reason"])
        assert reason == f"blocked by the lock of {volume} on this node"
        served = fleet.available()
        assert operation_of(fleet, volume)["state"] in ("waiting", "running")
        os.kill(int(noted.read_text()), signal.SIGKILL)
        fleet.ends(volume, "available")
        noted.unlink()
        for each in (volume, served):
            fleet.delete(each)


# --- what kills its process -------------------------------------------------------------------------------------------


def alive(fleet: Fleet, volume: str, limit: int) -> dict[str, Any]:
    """Start the daemon as often as it dies, up to ``limit`` times, until the volume's operation has ended."""
    for _ in range(limit):
        if not fleet.daemon.running:
            fleet.daemon.spawn()
            try:
                fleet.daemon.wait_until_serving()
            except RuntimeError:
                continue
            fleet.rest = fleet.daemon.session()
        deadline = time.monotonic() + 60
        while fleet.daemon.running:
            assert time.monotonic() < deadline, fleet.daemon.output()
            with suppress(OSError, ValueError):  # it has just died
                found = operation_of(fleet, volume)
                if found["state"] in ("succeeded", "failed"):
                    return found
            time.sleep(0.05)
    raise AssertionError(f"not ended after {limit} starts\n{fleet.daemon.output()}")


def test_an_operation_that_kills_its_process_each_time_is_undone_and_told_and_others_are_served() -> None:
    with faulty_fleet("one", options={"retry_pause": 0.01}) as fleet:
        source = fleet.available()
        fleet.faults["one"].order("create_from_volume", lasting=True, kills=True)
        clone = fleet.create(source_volid=source)
        ended = alive(fleet, clone, 12)
        assert (ended["state"], ended["error"]["type"]) == ("failed", "Poisonous")
        assert "was taken 5 times and never came to an end" in ended["error"]["message"]
        assert fleet.ends(clone, "error")["volumed:error"] == ended["error"]
        assert fleet.outside.files() == {f"volume-{source}"}
        (finding,) = findings(fleet)
        assert (finding["kind"], finding["subject"]) == ("operation.poisonous", ended["id"])
        served = fleet.available()
        fleet.faults["one"].clear()
        answer = fleet.rest.post(f"/operations/{ended['id']}/action", json={"retry": {}})
        assert answer.status_code == 202, answer.text
        fleet.ends(clone, "available")
        assert findings(fleet) == []
        for volume in (clone, source, served):
            fleet.delete(volume)


def test_one_whose_undo_kills_the_process_too_is_given_up_and_leaves_a_cleanup() -> None:
    with faulty_fleet("one", options={"retry_pause": 0.01}) as fleet:
        fleet.faults["one"].order("create", lasting=True, kills=True)
        fleet.faults["one"].order("delete", lasting=True, kills=True)
        volume = fleet.create()
        ended = alive(fleet, volume, 24)
        assert (ended["state"], ended["error"]["type"]) == ("failed", "Poisonous")
        assert "was taken 10 times" in ended["error"]["message"]
        fleet.faults["one"].clear()
        if not fleet.daemon.running:
            fleet.start()
        fleet.ends(volume, "error")
        fleet.rest.delete(f"/volumes/{volume}").raise_for_status()
        fleet.rest.wait_until_gone(f"/volumes/{volume}")
        fleet.wait_until_settled()
        assert (fleet.allocated(), findings(fleet)) == (0, [])


def test_a_delete_that_kills_its_process_ends_error_deleting_and_works_later() -> None:
    with faulty_fleet("one", options={"retry_pause": 0.01}) as fleet:
        volume = fleet.available()
        fleet.faults["one"].order("delete", lasting=True, kills=True)
        fleet.rest.delete(f"/volumes/{volume}").raise_for_status()
        ended = alive(fleet, volume, 24)
        assert (ended["kind"], ended["state"], ended["error"]["type"]) == ("volume.delete", "failed", "Poisonous")
        fleet.ends(volume, "error_deleting")
        fleet.faults["one"].clear()
        fleet.delete(volume)


def test_the_innocent_are_not_blamed_for_what_killed_the_process_beside_them() -> None:
    with faulty_fleet("one", options={"retry_pause": 0.01}) as fleet:
        source = fleet.available()
        fleet.faults["one"].order("create_from_volume", lasting=True, kills=True, pause=0.3)
        clone = fleet.create(source_volid=source)
        beside = [fleet.create() for _ in range(4)]
        ended = alive(fleet, clone, 12)
        assert ended["error"]["type"] == "Poisonous"
        for volume in beside:
            fleet.ends(volume, "available")
        fleet.faults["one"].clear()
        for volume in (*beside, clone, source):
            fleet.delete(volume)


# --- tgtd stopped -----------------------------------------------------------------------------------------------------


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@pytest.mark.slow
@pytest.mark.part("tgtd")
def test_a_stopped_tgtd_holds_up_its_exports_alone_and_all_is_well_when_it_goes_on() -> None:
    """An attach is answered when tgtd has been given up once (after 10 s), and its undo is held up too."""
    with faulty_fleet("one", target="tgt", options={"blocked_after": 1}, start=False) as fleet:
        with (fleet.daemon.state / "volumed.conf").open("a") as configuration:
            configuration.write("[api]\nattach_timeout = 12\n")
        fleet.start()
        volume, deleted = fleet.available(), fleet.available()
        (tgtd,) = [each for each in fleet.daemon.processes() if each.name() == "tgtd"]
        with stopped(tgtd):
            with fleet.asking(lambda rest: attach(rest, volume)) as asked:
                fleet.until(lambda: "tgtd" in str(state_of(fleet)) or operation_of(fleet, volume))
                fleet.rest.delete(f"/volumes/{deleted}").raise_for_status()
                served = fleet.available()
            assert asked.answer.status_code == 503, asked.answer.text
        fleet.rest.wait_until_gone(f"/volumes/{deleted}", patience=90)
        for attachment in fleet.rest.get("/attachments").json()["attachments"]:
            fleet.rest.delete(f"/attachments/{attachment['id']}")
        fleet.until(lambda: fleet.rest.get(f"/volumes/{volume}").json()["volume"]["status"] == "available")
        assert fleet.until(lambda: findings(fleet) == [])
        for each in (volume, served):
            fleet.delete(each)


def attach(rest: Session, volume_id: str) -> Any:
    body = {"volume_uuid": volume_id, "connector": CONNECTOR}
    return rest.post("/attachments", json={"attachment": body}, timeout=120)


def state_of(fleet: Fleet) -> str:
    services = fleet.rest.get("/os-services", params={"binary": "volumed-volume"}).json()["services"]
    return str(services[0]["volumed:state_reason"])


# --- a clock that jumps -----------------------------------------------------------------------------------------------


def date_of(fleet: Fleet) -> float:
    """The server's time, by the Date of an answer."""
    with fleet.daemon.session() as rest:
        return parsedate_to_datetime(rest.get("/").headers["Date"]).timestamp()


@pytest.mark.parametrize("offset", [-2 * DAY, 2 * DAY], ids=["back", "forth"])
def test_a_clock_that_jumps_delays_nothing_and_loses_nothing(tmp_path: Path, offset: int) -> None:
    clock = Clock(tmp_path / "clock")
    with faulty_fleet("one", options={"retry_pause": 0.5}, environment=clock.environment()) as fleet:
        source, deleted = fleet.available(), fleet.available()
        fleet.faults["one"].order("delete", "BackendBusy", times=2)
        fleet.rest.delete(f"/volumes/{deleted}").raise_for_status()
        fleet.until(lambda: operation_of(fleet, deleted)["state"] == "waiting")
        fleet.faults["one"].order("create_from_volume", None, pause=1)
        copied = fleet.create(source_volid=source)
        clock.jump(offset)
        fleet.until(lambda: abs(date_of(fleet) - time.time()) > DAY)
        fleet.rest = fleet.daemon.session()  # kept connections look idle for days, and are closed
        fleet.rest.wait_until_gone(f"/volumes/{deleted}")
        made = [fleet.create() for _ in range(3)]
        for volume in (copied, *made):
            fleet.ends(volume, "available")
        fleet.faults["one"].order("create", None, pause=FOR_EVER)
        interrupted = fleet.create()
        fleet.until(lambda: operation_of(fleet, interrupted)["state"] == "running")
        fleet.daemon.kill()
        clock.jump(0)
        fleet.start()
        fleet.ends(interrupted, "available")
        assert findings(fleet) == []
        for volume in (interrupted, copied, *made, source):
            fleet.delete(volume)

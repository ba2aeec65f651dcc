"""``volumed why`` against a real ``volumed up``: what really holds a volume is what it says."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.faulty_fleet import Fleet, faulty_fleet

PATIENCE = 60.0


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with faulty_fleet("one", options={"retry_pause": 1, "forward_retries": 100}) as fleet:
        yield fleet


def said(fleet: Fleet, volume: str) -> str:
    """What the command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "volumed.cmd.volumed", "why", volume],
        env={**os.environ, "VOLUMED_URL": fleet.daemon.url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def finding(fleet: Fleet, volume_id: str, kind: str, true: Callable[[Any], Any] = bool) -> Any:
    """The finding of this type, once it is true."""
    deadline = time.monotonic() + PATIENCE
    while True:
        told = fleet.rest.get(f"/volumes/{volume_id}/why").json()["why"]["findings"]
        found = next((each for each in told if each["type"] == kind and true(each)), None)
        if found is not None:
            return found
        assert time.monotonic() < deadline, told
        time.sleep(0.05)


def test_a_create_that_runs_and_a_clone_that_reads(fleet: Fleet) -> None:
    with fleet.daemon.trap.holding("volume.create.provision.before") as held:
        source = fleet.create(name="source")
        held.wait()
        # Just after its start the service's row says for one interval of reports that it is starting.
        finding(
            fleet, source, "operation", lambda each: each["state"] == "running" and "is down" not in each["sentence"]
        )
        assert "The volume.create on it is running" in said(fleet, "source")
    fleet.ends(source, "available")
    with fleet.daemon.trap.holding("volume.create.provision.before") as held:
        clone = fleet.create(source_volid=source)
        held.wait()
        found = finding(fleet, source, "reader")
        assert (found["volume_id"], found["state"], found["kind"]) == (clone, "running", "volume.create")
        assert f"A volume.create reads it for volume {clone}" in said(fleet, source)
    fleet.ends(clone, "available")
    assert finding(fleet, source, "nothing")


def test_a_driver_that_fails_and_a_delete_that_waits(fleet: Fleet) -> None:
    volume_id = fleet.available()
    fleet.faults["one"].order("delete", lasting=True)
    fleet.rest.delete(f"/volumes/{volume_id}")
    found = finding(fleet, volume_id, "operation", lambda each: each["state"] == "waiting")
    assert "delete was told to fail" in found["wait_reason"]
    assert found["not_before"] is not None
    assert found["step"] == "remove"
    fleet.faults["one"].clear()
    fleet.rest.wait_until_gone(f"/volumes/{volume_id}")
    assert "It was deleted at 20" in said(fleet, volume_id)
    gone = finding(fleet, volume_id, "deleted")
    assert gone["operation_id"] == fleet.operation("volume.delete", volume_id)["id"]


def test_a_backend_that_is_down_and_a_request_that_waits_for_it(fleet: Fleet) -> None:
    volume_id = fleet.available()
    with fleet.daemon.trap.holding("operation.claimed") as held:
        # Killed with the delete accepted and not done; the next start finds a backend that cannot come up.
        assert fleet.rest.delete(f"/volumes/{volume_id}").status_code == 202
        held.wait()
        fleet.daemon.kill()
    fleet.faults["one"].order("check_for_setup_error", lasting=True)
    fleet.start(reported=False)
    found = finding(fleet, volume_id, "operation", lambda each: not each["waits_for"]["is_up"])
    assert (
        "check_for_setup_error was told to fail"
        in finding(fleet, volume_id, "operation", lambda each: "told to fail" in str(each["waits_for"]["reason"]))[
            "sentence"
        ]
    )
    assert "which is down" in said(fleet, volume_id)
    assert found["kind"] == "volume.delete"
    fleet.faults["one"].clear()
    fleet.rest.wait_until_gone(f"/volumes/{volume_id}")


def test_an_attached_volume_and_one_in_error(fleet: Fleet) -> None:
    volume_id = fleet.available()
    assert fleet.attach(volume_id).status_code == 200
    found = finding(fleet, volume_id, "attachment")
    assert found["host"] == "client"
    assert "on host client" in said(fleet, volume_id)
    assert fleet.rest.delete(f"/attachments/{found['attachment_id']}").status_code == 200
    fleet.faults["one"].order("create", "BackendInvalid")
    failed = fleet.create()
    error = finding(fleet, failed, "error")
    assert "create was told to fail" in error["sentence"]
    assert error["operation_id"] == fleet.operation("volume.create", failed)["id"]
    assert "It is error since" in said(fleet, failed)
    fleet.delete(failed)

"""A node that is gone: what it never took is placed elsewhere, the rest waits visibly, and an operator ends it."""

import json
import signal
from typing import Any

import pytest

from tests.functional.fleet.conftest import MakeFleet, until
from tests.lab.daemon import PATIENCE, Session
from tests.lab.fleet import FleetDaemon

pytestmark = [
    pytest.mark.part("rabbitmq-server"),
    pytest.mark.part("postgres"),
]


def host_of(rest: Session, volume_id: str) -> str:
    return str(rest.get(f"/volumes/{volume_id}").json()["volume"]["os-vol-host-attr:host"])


def pools(rest: Session) -> list[str]:
    return [pool["name"] for pool in rest.get("/scheduler-stats/get_pools").json()["pools"]]


def volume_on(rest: Session, node: str) -> str:
    """A finished volume on the node, by whatever many creates."""
    for _ in range(20):
        volume_id = rest.make_volume()
        if host_of(rest, volume_id).startswith(f"{node}@"):
            return volume_id
    raise AssertionError(f"nothing is placed on {node}")


def operation_on(rest: Session, volume_id: str, kind: str) -> dict[str, Any]:
    query = {"kind": kind, "resource_id": volume_id}
    return dict(rest.get("/operations", params=query).json()["operations"][0])


def listed(fleet: FleetDaemon) -> dict[str, dict[str, Any]]:
    said = fleet.manage("service", "list", "--json")
    assert said.returncode == 0, said.stderr
    return {each["host"]: each for each in json.loads(said.stdout)["services"]}


def test_a_node_dies_and_everything_it_had_comes_to_a_declared_end(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("second")
    with fleet.session() as rest:
        until(lambda: len(pools(rest)) == 2)
        rest.put("/os-quota-sets/admin", json={"quota_set": {"volumes": 60}}).raise_for_status()
        kept = volume_on(rest, "second")
        # From now on it takes nothing, and nobody knows yet.
        for process in fleet.family("second"):
            process.send_signal(signal.SIGSTOP)
        fleet.services["second"].send_signal(signal.SIGSTOP)
        asked = [rest.create_volume()["id"] for _ in range(6)]
        fleet.kill_service("second")
        for volume_id in asked:
            rest.wait_for_status(f"/volumes/{volume_id}", "available")
        assert all(not host_of(rest, volume_id).startswith("second@") for volume_id in asked)
        assert rest.delete(f"/volumes/{kept}").status_code == 202
        assert operation_on(rest, kept, "volume.delete")["state"] == "queued"
        host = "second@file"
        assert listed(fleet)[host]["state"] == "down"

        refused = fleet.manage("service", "remove", "volumed-volume", host)
        assert refused.returncode == 2
        assert "volumed-volume on second@file has volumes or work (1 live operations)" in refused.stderr
        done = fleet.manage("service", "remove", "--lost")
        assert done.stdout == f"volumed-volume on {host} is forgotten; 1 operations have ended without it\n", (
            done.stderr
        )

        assert rest.get(f"/volumes/{kept}").json()["volume"]["status"] == "error_deleting"
        ended = operation_on(rest, kept, "volume.delete")
        assert ended["state"] == "failed"
        assert ended["error"]["type"] == "ServiceLost"
        assert host not in listed(fleet)
        again = rest.delete(f"/volumes/{kept}")
        assert again.status_code == 409, "nobody would ever do it"
        assert host in again.json()["conflictingRequest"]["message"]


def test_a_service_that_lives_is_not_forgotten(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    (host,) = [host for host in listed(fleet) if "@" in host]
    refused = fleet.manage("service", "remove", "volumed-volume", host, "--lost")
    assert refused.returncode == 2
    assert f"volumed-volume on {host} reported" in refused.stderr
    assert fleet.manage("service", "remove", "--lost").stdout == "no volume service is lost\n"
    assert host in listed(fleet)


def test_a_second_volume_service_on_a_node_is_refused_and_the_first_one_goes_on(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    second = fleet.fork_again("volume")
    until(lambda: "is already running as process" in fleet.output())
    second.send_signal(signal.SIGTERM)
    second.wait(PATIENCE)
    with fleet.session() as rest:
        rest.make_volume()
    assert [each["state"] for host, each in listed(fleet).items() if "@" in host] == ["up"]

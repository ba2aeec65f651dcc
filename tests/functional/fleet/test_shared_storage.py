"""Volume services of several nodes on one storage: each minds its own, and no doctor takes the rest for leftovers."""

import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.fleet.conftest import QUICK, MakeFleet, until
from tests.lab.fleet import FleetDaemon


@pytest.fixture
def on_files(make_fleet: MakeFleet) -> Iterator[FleetDaemon]:
    """Two nodes whose folder of files is the same one, as on a shared file system."""
    with tempfile.TemporaryDirectory(prefix="volumed-") as folder:
        yield make_fleet("second", configuration=f"{QUICK}file_pool_path = {folder}/pool\n")


@pytest.fixture
def on_ceph(make_fleet: MakeFleet) -> Iterator[FleetDaemon]:
    """Two nodes with a backend of the same name on the same pool."""
    from tests.lab.ceph import cluster, group

    with cluster.shared().pool() as client:
        yield make_fleet("second", configuration=QUICK.partition("[file]")[0] + group.only(client))


@pytest.mark.part("rabbitmq-server")
@pytest.mark.part("postgres")
@pytest.mark.parametrize("fleet", ["on_files", pytest.param("on_ceph", marks=pytest.mark.part("ceph"))])
def test_nobody_takes_what_another_has_on_it_for_left_behind(fleet: str, request: pytest.FixtureRequest) -> None:
    daemon: FleetDaemon = request.getfixturevalue(fleet)
    with daemon.session() as rest:
        pools = until(lambda: _pools(rest, 2))
        services = [pool.partition("#")[0] for pool in pools]
        volumes = [_volume_beside(rest, service) for service in services]
        snapshots = [_snapshot_of(rest, volume_id) for volume_id in volumes]
        attached = [rest.attach(volume_id)["id"] for volume_id in volumes]
        _expect_nothing(rest)
        daemon.kill()
        daemon.start()
        until(lambda: _pools(rest, 2))
        _expect_nothing(rest)
        for attachment_id in attached:
            rest.delete(f"/attachments/{attachment_id}").raise_for_status()
        for path in (*(f"/snapshots/{each}" for each in snapshots), *(f"/volumes/{each}" for each in volumes)):
            assert rest.delete(path).status_code == 202
            rest.wait_until_gone(path)
        _expect_nothing(rest)


def _pools(rest: Any, number: int) -> list[str]:
    found = [pool["name"] for pool in rest.get("/scheduler-stats/get_pools").json()["pools"]]
    return found if len(found) == number else []


def _volume_beside(rest: Any, service: str) -> str:
    """One that another service than this one has."""
    named = {"binary": "volumed-volume", "host": service}
    rest.put("/os-services/disable", json=named).raise_for_status()
    volume_id = str(rest.make_volume())
    rest.put("/os-services/enable", json=named).raise_for_status()
    host = rest.get(f"/volumes/{volume_id}").json()["volume"]["os-vol-host-attr:host"]
    assert not host.startswith(service)
    return volume_id


def _snapshot_of(rest: Any, volume_id: str) -> str:
    made = str(rest.post("/snapshots", json={"snapshot": {"volume_id": volume_id}}).json()["snapshot"]["id"])
    rest.wait_for_status(f"/snapshots/{made}", "available")
    return made


def _expect_nothing(rest: Any) -> None:
    told = rest.get("/doctor").json()["doctor"]
    assert (told["findings"], told["not_looked_at"]) == ([], [])

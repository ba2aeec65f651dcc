"""One service with logical volumes, files and a Ceph pool: each volume is where its type says, and nothing is left."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.ceph.group import group_of
from tests.lab.daemon import Session
from tests.lab.lvm_backend import empty, volume_group, volumes
from tests.lab.nursery import ForkedDaemon, forked_daemon

pytestmark = [pytest.mark.guest, pytest.mark.slow, pytest.mark.part("ceph"), pytest.mark.timeout(600)]

#: Seconds for what takes a moment, on a slow machine that has a Ceph cluster in it.
PATIENCE = 120.0

CONFIGURATION = """
[DEFAULT]
enabled_backends = thin,files,ceph
periodic_fuzzy_delay = 0
capability_interval = 1
[operations]
sweep_interval = 0.5
[thin]
volume_driver = lvm
volume_backend_name = thin
volume_group = {group}
lvm_type = thin
target_helper = lio
target_port = 3260
[files]
volume_driver = file
volume_backend_name = files
target_port = 3261
"""

#: Where the service looks for the helper of LIO.
SOCKET = Path("/run/volumed/lio.sock")

#: How a host reaches a volume, by its backend.
PROTOCOLS = {"thin": "iscsi", "files": "iscsi", "ceph": "rbd"}

INITIATOR = "iqn.2026-01.test:host"


@contextmanager
def lio_helper() -> Iterator[None]:
    """As its unit starts it: one that the service started would outlive it."""
    SOCKET.parent.mkdir(parents=True, exist_ok=True)
    words = ["--socket", str(SOCKET), "--path", "/dev/beside/", "--load-modules"]
    with subprocess.Popen([sys.executable, "-m", "volumed_drivers.targets.lio.helper", *words]) as helper:
        try:
            deadline = time.monotonic() + PATIENCE
            while not SOCKET.is_socket():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield
        finally:
            helper.kill()
            SOCKET.unlink(missing_ok=True)


@pytest.fixture
def service() -> Iterator[ForkedDaemon]:
    """On a cluster in the same machine."""
    from tests.lab.ceph.cluster import own

    with own() as cluster, volume_group("beside", "/dev/ubda") as group, lio_helper():
        told = CONFIGURATION.format(group=group) + group_of(cluster.make_pool("volumes"), "ceph")
        with forked_daemon(told) as daemon:
            yield daemon
        empty(group)


def wait_until_clean(rest: Session) -> None:
    """Until the doctor has looked at every backend and finds nothing."""
    deadline = time.monotonic() + PATIENCE
    while True:
        told = rest.get("/doctor").json()["doctor"]
        if len(told["looked_at"]) == len(PROTOCOLS) and not told["findings"] and not told["not_looked_at"]:
            return
        assert time.monotonic() < deadline, told
        time.sleep(0.5)


def made(rest: Session, **fields: Any) -> str:
    its_id = str(rest.create_volume(1, **fields)["id"])
    rest.wait_for_status(f"/volumes/{its_id}", "available", PATIENCE)
    return its_id


def test_volumes_of_three_kinds_live_beside_each_other_and_leave_nothing(service: ForkedDaemon) -> None:
    rest = service.session()
    wait_until_clean(rest)
    for backend, protocol in PROTOCOLS.items():
        told = {"name": backend, "extra_specs": {"volume_backend_name": backend}}
        assert rest.post("/types", json={"volume_type": told}).status_code == 200
        source = made(rest, volume_type=backend)
        answer = rest.post("/snapshots", json={"snapshot": {"volume_id": source}})
        snapshot = str(answer.json()["snapshot"]["id"])
        rest.wait_for_status(f"/snapshots/{snapshot}", "available", PATIENCE)
        copies = [made(rest, source_volid=source), made(rest, snapshot_id=snapshot)]
        for volume in (source, *copies):
            found = rest.get(f"/volumes/{volume}").json()["volume"]
            assert found["os-vol-host-attr:host"].partition("@")[2].partition("#")[0] == backend
        attachment = rest.attach(copies[0], INITIATOR)
        assert attachment["connection_info"]["driver_volume_type"] == protocol
        assert rest.delete(f"/attachments/{attachment['id']}").status_code == 200
        rest.wait_for_status(f"/volumes/{copies[0]}", "available", PATIENCE)
    wait_until_clean(rest)
    for kind in ("snapshots", "volumes"):
        for each in rest.get(f"/{kind}").json()[kind]:
            assert rest.delete(f"/{kind}/{each['id']}").status_code == 202
            rest.wait_until_gone(f"/{kind}/{each['id']}", PATIENCE)
    wait_until_clean(rest)
    assert volumes("beside") == {"beside-pool"}

"""``volumed up`` with two Ceph pools: the whole life of volumes by REST, with a kill -9 in the middle."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab.daemon import PATIENCE, Daemon, Session
from tests.lab.nursery import ForkedDaemon

pytestmark = [
    pytest.mark.part("ceph"),
    pytest.mark.part("qemu-io"),
    pytest.mark.embedded_only("it is about a backend, and a fleet has the same ones"),
]

MIB = 1024**2
GIB = 1024**3


@pytest.fixture
def rest(service: ForkedDaemon) -> Any:
    with service.session() as session:
        session.put("/os-quota-sets/admin", json={"quota_set": {"volumes": 100, "gigabytes": 1000, "snapshots": 100}})
        yield session


def attached(rest: Session, volume_id: str) -> tuple[str, dict[str, Any]]:
    """The attachment's id, and the connection as a hypervisor is told."""
    attachment = rest.attach(volume_id)
    assert rest.post(f"/attachments/{attachment['id']}/action", json={"os-complete": {}}).status_code == 204
    info = attachment["connection_info"]
    return attachment["id"], {"driver_volume_type": info["driver_volume_type"], "data": info}


def detach(rest: Session, attachment_id: str) -> None:
    assert rest.delete(f"/attachments/{attachment_id}").status_code == 200


def holds(rest: Session, data: Any, volume_id: str, pattern: int, size: int) -> bool:
    attachment_id, info = attached(rest, volume_id)
    try:
        return bool(data.size(info) == size * GIB and data.has_pattern(info, pattern, 8 * MIB, MIB))
    finally:
        detach(rest, attachment_id)


def snapshot_of(rest: Session, volume_id: str) -> str:
    body = {"snapshot": {"volume_id": volume_id, "force": True}}
    answer = rest.post("/snapshots", json=body)
    assert answer.status_code == 202, answer.text
    snapshot_id = str(answer.json()["snapshot"]["id"])
    rest.wait_for_status(f"/snapshots/{snapshot_id}", "available")
    return snapshot_id


def assert_is_clean(daemon: Daemon) -> None:
    """The doctor finds nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "volumed.cmd.volumed", "doctor", "--url", daemon.url, "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)["doctor"]["findings"]) == (0, []), done.stderr


def wait_until_empty(client: Any) -> None:
    """Wait until the pool has neither images nor trash: what clones lived on goes without anyone asking."""
    from tests.lab.ceph.cluster import command

    words = ["rbd", "-c", client.configuration, "--id", client.user, "-p", client.pool, "--format", "json"]
    deadline = time.monotonic() + PATIENCE * 3
    while left := [*json.loads(command(*words, "ls")), *json.loads(command(*words, "trash", "ls"))]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def test_qemu_img_copies_an_image_out_and_into_another(
    service: ForkedDaemon, rest: Session, pools: dict[str, Any], tmp_path: Path
) -> None:
    from tests.lab.ceph.data_paths import QemuIo

    file = tmp_path / "disk"
    one, other = rest.make_volume(), rest.make_volume()
    (one_attachment, one_info), (other_attachment, other_info) = attached(rest, one), attached(rest, other)
    data = QemuIo(configuration_of(one_info, pools))
    data.write_pattern(one_info, 0xA5, 8 * MIB, MIB)
    data.copy_out(one_info, file)
    with file.open("rb") as copied:
        copied.seek(8 * MIB)
        assert (file.stat().st_size, copied.read(MIB)) == (GIB, b"\xa5" * MIB)
    QemuIo(configuration_of(other_info, pools)).copy_in(file, other_info)
    detach(rest, one_attachment)
    detach(rest, other_attachment)
    assert holds(rest, QemuIo(configuration_of(other_info, pools)), other, 0xA5, size=1)


def configuration_of(info: dict[str, Any], pools: dict[str, Any]) -> str:
    """Of the client whose pool the image is in."""
    return next(
        str(client.configuration) for client in pools.values() if info["data"]["name"].startswith(f"{client.pool}/")
    )


def test_the_life_of_volumes_on_two_pools(service: ForkedDaemon, rest: Session, pools: dict[str, Any]) -> None:
    from tests.lab.ceph.data_paths import QemuIo

    volume_id = rest.make_volume()
    attachment_id, info = attached(rest, volume_id)
    (client,) = [client for client in pools.values() if info["data"]["name"] == f"{client.pool}/volume-{volume_id}"]
    data = QemuIo(client.configuration)
    assert info["data"]["auth_username"] == client.user
    assert "auth_password" not in info["data"]
    data.write_pattern(info, 0xA5, 8 * MIB, MIB)
    snapshot_id = snapshot_of(rest, volume_id)
    data.write_pattern(info, 0x5A, 8 * MIB, MIB)
    service.kill()
    data.write_pattern(info, 0x5B, 8 * MIB, MIB)
    service.start()

    copy_id = rest.make_volume(size=2, snapshot_id=snapshot_id)
    detach(rest, attachment_id)
    clone_id = rest.make_volume(source_volid=volume_id)
    assert rest.post(f"/volumes/{clone_id}/action", json={"os-extend": {"new_size": 3}}).status_code == 202
    rest.wait_for_status(f"/volumes/{clone_id}", "available")
    assert holds(rest, data, volume_id, 0x5B, size=1)
    assert holds(rest, data, copy_id, 0xA5, size=2)
    assert holds(rest, data, clone_id, 0x5B, size=3)
    assert_is_clean(service)

    rest.delete(f"/snapshots/{snapshot_id}")
    rest.wait_until_gone(f"/snapshots/{snapshot_id}")
    for each in (volume_id, copy_id, clone_id):
        rest.delete(f"/volumes/{each}")
        rest.wait_until_gone(f"/volumes/{each}")
    for client in pools.values():
        wait_until_empty(client)
    assert_is_clean(service)

"""The stock python-cinderclient walks from create to delete."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cinderclient import client as cinder
from cinderclient import exceptions
from cinderclient.api_versions import APIVersion
from cinderclient.contrib.noauth import CinderNoAuthPlugin
from keystoneauth1 import session

from tests.lab.daemon import Daemon

PATIENCE = 30.0


@pytest.fixture
def client(shared_daemon: Daemon, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client in one microversion; it says who asks as it does to any server without keystone."""
    keystone_session = session.Session(auth=CinderNoAuthPlugin("admin", "admin", endpoint=f"{shared_daemon.url}/v3"))
    yield cinder.Client(request.param, session=keystone_session)
    keystone_session.session.close()


def wait_for(resource: Any, status: str = "available") -> None:
    wait_until(lambda: _status(resource) == status)


def _status(resource: Any) -> str:
    resource.get()
    assert not resource.status.startswith("error"), resource.to_dict()
    return str(resource.status)


def wait_until_gone(resource: Any) -> None:
    def gone() -> bool:
        try:
            resource.get()
        except exceptions.NotFound:
            return True
        return False

    wait_until(gone)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("client", ["3.0", "3.27", "3.44", "3.66"], indirect=True)
def test_a_walk_with_the_classic_attach(client: Any) -> None:
    volume = client.volumes.create(size=1, name="walk", description="by cinderclient", metadata={"a": "b"})
    wait_for(volume)
    assert volume.metadata == {"a": "b"}
    assert volume.id in [each.id for each in client.volumes.list(search_opts={"name": "walk"})]
    client.volumes.reserve(volume)
    wait_for(volume, "attaching")
    connector = {"initiator": "iqn.2010-10.org.openstack:walk", "host": "walker", "ip": "127.0.0.1", "multipath": False}
    connection = client.volumes.initialize_connection(volume, connector)
    assert connection["driver_volume_type"] == "iscsi"
    client.volumes.attach(volume, str(uuid.uuid4()), "/dev/vdb")
    wait_for(volume, "in-use")
    client.volumes.begin_detaching(volume)
    client.volumes.terminate_connection(volume, connector)
    client.volumes.detach(volume)
    wait_for(volume)
    _snapshot_extend_and_delete(client, volume)


@pytest.mark.parametrize("client", ["3.44", "3.66"], indirect=True)
def test_a_walk_with_attachments(client: Any) -> None:
    volume = client.volumes.create(size=1, name="walk")
    wait_for(volume)
    connector = {"initiator": "iqn.2010-10.org.openstack:walk", "host": "walker", "ip": "127.0.0.1"}
    attachment = client.attachments.create(volume.id, None, str(uuid.uuid4()))
    wait_for(volume, "reserved")
    updated = client.attachments.update(attachment["id"], connector)
    assert updated.connection_info["target_iqn"]
    client.attachments.complete(attachment["id"])
    wait_for(volume, "in-use")
    assert attachment["id"] in [each.id for each in client.attachments.list(search_opts={"volume_id": volume.id})]
    client.attachments.delete(attachment["id"])
    wait_for(volume)
    _snapshot_extend_and_delete(client, volume)


def _snapshot_extend_and_delete(client: Any, volume: Any) -> None:
    snapshot = client.volume_snapshots.create(volume.id, name="walk-snapshot")
    wait_for(snapshot)
    copy = client.volumes.create(size=1, snapshot_id=snapshot.id, name="copy")
    clone = client.volumes.create(size=1, source_volid=volume.id, name="clone")
    for each in (copy, clone):
        wait_for(each)
    with pytest.raises(exceptions.BadRequest, match="snapshot"):
        client.volumes.delete(volume)
    if client.api_version >= APIVersion("3.40"):
        client.volumes.revert_to_snapshot(volume, snapshot)
        wait_for(volume)
        wait_for(snapshot)
    client.volume_snapshots.delete(snapshot)
    wait_until_gone(snapshot)
    client.volumes.extend(volume, 2)
    wait_until(lambda: _status(volume) == "available" and volume.size == 2)
    for each in (copy, clone, volume):
        client.volumes.delete(each)
    for each in (copy, clone, volume):
        wait_until_gone(each)


@pytest.mark.parametrize("client", ["3.8", "3.66"], indirect=True)
def test_what_others_made_is_managed_and_given_away(client: Any, shared_daemon: Daemon) -> None:
    pool = shared_daemon.state / "pool"
    for name in ("foreign-disk", "foreign-copy"):
        (pool / name).write_bytes(b"data")
    host = next(each.host for each in client.services.list() if each.binary == "volumed-volume")
    listed = client.volumes.list_manageable(host, detailed=True, sort="reference:asc", limit=2)
    assert [each.reference["source-name"] for each in listed] == ["foreign-copy", "foreign-disk"]
    volume = client.volumes.manage(host, {"source-name": "foreign-disk"}, name="old", metadata={"a": "b"})
    wait_for(volume)
    assert (volume.name, volume.metadata) == ("old", {"a": "b"})
    snapshot = client.volume_snapshots.manage(volume.id, {"source-name": "foreign-copy"}, name="older")
    wait_for(snapshot)
    (known,) = client.volume_snapshots.list_manageable(host, detailed=True)
    assert known.cinder_id == snapshot.id
    client.volume_snapshots.unmanage(snapshot.id)
    wait_until_gone(snapshot)
    client.volumes.unmanage(volume.id)
    wait_until_gone(volume)
    for name in ("foreign-disk", "foreign-copy"):
        assert (pool / name).read_bytes() == b"data"
        (pool / name).unlink()


@pytest.mark.parametrize("client", ["3.0", "3.66"], indirect=True)
def test_the_operators_views(client: Any) -> None:
    assert {each.binary for each in client.services.list()} >= {"volumed-scheduler", "volumed-volume"}
    assert client.pools.list(detailed=True)[0].name
    assert [each.zoneName for each in client.availability_zones.list()] == ["nova"]
    assert client.quotas.get("admin").volumes
    assert client.limits.get().absolute
    assert "__DEFAULT__" in [each.name for each in client.volume_types.list()]

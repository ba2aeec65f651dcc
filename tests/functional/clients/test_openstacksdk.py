"""The stock openstacksdk walks from create to delete."""

import uuid
from collections.abc import Iterator
from typing import Any

import openstack
import pytest
from keystoneauth1 import session, token_endpoint
from openstack.block_storage.v3.snapshot import Snapshot
from openstack.block_storage.v3.volume import Volume

from tests.lab.daemon import Daemon


@pytest.fixture
def storage(shared_daemon: Daemon) -> Iterator[Any]:
    """The SDK's block storage proxy; the token is what noauth understands."""
    keystone_session = session.Session(auth=token_endpoint.Token(f"{shared_daemon.url}/v3", "admin:admin"))
    connection = openstack.connection.Connection(
        session=keystone_session, block_storage_api_version="3", block_storage_default_microversion="3.66"
    )
    yield connection.block_storage
    connection.close()
    keystone_session.session.close()


def wait_for(storage: Any, resource: Any, status: str = "available") -> Any:
    """The resource as it is then; the SDK believes what it was told last, so it is read before the wait."""
    fresh = resource.fetch(storage)
    return storage.wait_for_status(fresh, status=status, failures=["error"], interval=0.05, wait=30)


def test_a_walk_with_attachments(storage: Any) -> None:
    volume = wait_for(storage, storage.create_volume(size=1, name="sdk", metadata={"a": "b"}))
    assert storage.find_volume("sdk").id == volume.id
    connector = {"initiator": "iqn.2010-10.org.openstack:sdk", "host": "sdk", "ip": "127.0.0.1"}
    attachment = storage.create_attachment(volume.id, instance=str(uuid.uuid4()), connector=connector)
    assert attachment.connection_info["target_iqn"]
    storage.complete_attachment(attachment)
    wait_for(storage, volume, "in-use")
    assert storage.get_attachment(attachment).status == "attached"
    storage.delete_attachment(attachment)
    wait_for(storage, volume)
    _snapshot_and_delete(storage, volume)


def test_a_walk_with_the_classic_attach(storage: Any) -> None:
    volume = wait_for(storage, storage.create_volume(size=1, name="sdk-classic"))
    storage.attach_volume(volume, "/dev/vdb", instance=str(uuid.uuid4()))
    volume = wait_for(storage, volume, "in-use")
    storage.detach_volume(volume, volume.attachments[0]["attachment_id"])
    wait_for(storage, volume)
    _snapshot_and_delete(storage, volume)


def _snapshot_and_delete(storage: Any, volume: Any) -> None:
    snapshot = wait_for(storage, storage.create_snapshot(volume_id=volume.id, name="sdk-snapshot"))
    copy = wait_for(storage, storage.create_volume(size=1, snapshot_id=snapshot.id))
    clone = wait_for(storage, storage.create_volume(size=2, source_volume_id=volume.id))
    storage.delete_snapshot(snapshot)
    storage.wait_for_delete(snapshot, interval=0.05, wait=30)
    storage.extend_volume(volume, 2)
    assert wait_for(storage, volume).size == 2
    for each in (volume, copy, clone):
        storage.delete_volume(each)
    for each in (volume, copy, clone):
        storage.wait_for_delete(each, interval=0.05, wait=30)


def test_what_others_made_is_managed_and_given_away(
    storage: Any, shared_daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These two calls of the SDK send its own newest microversion, whatever the server has: docs/libraries.md."""
    for resource in (Volume, Snapshot):
        monkeypatch.setattr(resource, "_max_microversion", "3.66")
    pool = shared_daemon.state / "pool"
    for name in ("foreign-disk", "foreign-copy"):
        (pool / name).write_bytes(b"data")
    host = next(each.host for each in storage.services() if each.binary == "volumed-volume")
    volume = storage.manage_volume(host=host, ref={"source-name": "foreign-disk"}, name="sdk-old")
    volume = wait_for(storage, volume)
    snapshot = storage.manage_snapshot(volume_id=volume.id, ref={"source-name": "foreign-copy"}, name="sdk-older")
    snapshot = wait_for(storage, snapshot)
    storage.unmanage_snapshot(snapshot)
    storage.wait_for_delete(snapshot, interval=0.05, wait=30)
    storage.unmanage_volume(volume)
    storage.wait_for_delete(volume, interval=0.05, wait=30)
    for name in ("foreign-disk", "foreign-copy"):
        assert (pool / name).read_bytes() == b"data"
        (pool / name).unlink()


def test_lists_and_the_operators_views(storage: Any) -> None:
    created = [wait_for(storage, storage.create_volume(size=1, name=f"sdk-{number}")) for number in range(3)]
    assert {each.id for each in storage.volumes(limit=1)} >= {each.id for each in created}
    assert {each.binary for each in storage.services()} >= {"volumed-scheduler", "volumed-volume"}
    assert next(iter(storage.backend_pools())).name
    assert "__DEFAULT__" in [each.name for each in storage.types()]
    assert storage.get_quota_set("admin").volumes
    assert storage.get_limits()
    for each in created:
        storage.delete_volume(each)
        storage.wait_for_delete(each, interval=0.05, wait=30)

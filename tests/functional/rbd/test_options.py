"""What the options of a backend do; and a pool's figures, which depend on some of them."""

import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.rbd.drivers import backend_of, pool_of, set_up
from tests.functional.rbd.test_faults import access_of
from volumed.driver.errors import BackendBusy, BackendInvalid
from volumed.driver.interface import SnapshotRef, VolumeRef, unwatched

pytestmark = [pytest.mark.part("ceph"), pytest.mark.embedded_only("it is about the driver alone")]

GIB = 1024**3
VOLUME = VolumeRef("v", 1, "pool")
PATIENCE = 30.0


@pytest.fixture(scope="module")
def cluster() -> Any:
    from tests.lab.ceph import cluster

    return cluster.shared()


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    with cluster.pool() as client:
        yield client


def figures(driver: Any) -> Any:
    """What is reported of the pool, once the manager daemon knows a new one: until then it is unknown."""
    deadline = time.monotonic() + PATIENCE
    while (found := driver.capabilities().pools[0]).total_gib is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def foreign(driver: Any) -> float:
    """GiB, once a sweep has found images of others."""
    deadline = time.monotonic() + PATIENCE
    while (found := driver.capabilities().pools[0].foreign_gib) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return float(found)


def test_what_others_promise_is_taken_from_what_the_pool_may_promise(client: Any, tmp_path: Path) -> None:
    """Their images are thin, as ours are: as many as the pool is large leave it nearly all of what it may promise."""
    import rbd

    from volumed.scheduler.pools import Pool

    backend = backend_of(client, tmp_path)
    driver = set_up(backend)
    with pool_of(backend) as ioctx:
        for number in range(12):
            rbd.RBD().create(ioctx, f"theirs-{number}", GIB)
    found = figures(driver)
    shown = Pool(
        host="h@b#p",
        backend="h@b",
        storage_id=found.storage_id,
        availability_zone="nova",
        total=found.total_gib,
        free=found.free_gib,
        foreign=foreign(driver),
        reserved=0,
        ratio=found.max_over_subscription_ratio,
        capabilities={},
    )
    assert found.total_gib < 12
    assert shown.ceiling == pytest.approx(found.total_gib * found.max_over_subscription_ratio - 12)
    alone = set_up(backend_of(client, tmp_path, rbd_exclusive_cinder_pool=True))
    assert alone.capabilities().pools[0].foreign_gib == 0


def test_a_pool_at_its_most_objects_has_no_free_space(cluster: Any, client: Any, tmp_path: Path) -> None:
    driver = set_up(backend_of(client, tmp_path))
    driver.create(VOLUME)
    assert figures(driver).free_gib > 0
    cluster.ask("osd", "pool", "set-quota", client.pool, "max_objects", "1")
    deadline = time.monotonic() + PATIENCE
    while figures(driver).free_gib > 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_connectors_are_told_of_the_secret_and_of_discard(client: Any, tmp_path: Path) -> None:
    driver = set_up(backend_of(client, tmp_path, rbd_secret_uuid="the-secret", report_discard_supported=False))
    driver.create(VOLUME)
    told = driver.connection_info(VOLUME, access_of("vm"))["data"]
    assert (told["secret_uuid"], told["discard"]) == ("the-secret", False)
    assert set_up(backend_of(client, tmp_path)).connection_info(VOLUME, access_of("vm"))["data"]["discard"] is True


def test_objects_are_as_large_as_asked_for(client: Any, tmp_path: Path) -> None:
    import rbd

    backend = backend_of(client, tmp_path, rbd_store_chunk_size=8)
    driver = set_up(backend)
    driver.create(VOLUME)
    with pool_of(backend) as ioctx, rbd.Image(ioctx, "volume-v", read_only=True) as image:
        assert image.stat()["obj_size"] == 8 * 1024**2
    with pytest.raises(BackendInvalid, match="rbd_store_chunk_size = 3"):
        backend_of(client, tmp_path, rbd_store_chunk_size=3).driver().check_for_setup_error()


def test_a_deleted_volume_is_kept_for_the_delay_and_can_be_brought_back(client: Any, tmp_path: Path) -> None:
    import rbd

    backend = backend_of(client, tmp_path, enable_deferred_deletion=True, deferred_deletion_delay=2)
    driver = set_up(backend)
    driver.create(VOLUME)
    driver.delete(VOLUME)
    with pytest.raises(BackendBusy, match="deferred_deletion_delay"):
        driver.purge(VOLUME, unwatched)
    with pool_of(backend) as ioctx:
        (entry,) = rbd.RBD().trash_list(ioctx)
        rbd.RBD().trash_restore(ioctx, entry["id"], "volume-v")
    assert driver.has_volume(VOLUME)
    driver.delete(VOLUME)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            driver.purge(VOLUME, unwatched)
            break
        except BackendBusy:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert not driver.audit()


def test_a_volume_of_16_tib_is_in_the_trash_at_once(client: Any, tmp_path: Path) -> None:
    driver, large = set_up(backend_of(client, tmp_path)), VolumeRef("large", 16 * 1024, "pool")
    driver.create(large)
    began = time.monotonic()
    assert driver.delete(large) is not None
    assert time.monotonic() - began < 2
    assert not driver.has_volume(large)
    driver.purge(large, unwatched)
    assert not driver.audit()


def test_the_timeout_that_cinder_has_is_understood_as_none(client: Any, tmp_path: Path) -> None:
    driver = set_up(backend_of(client, tmp_path, rados_connect_timeout=-1))
    assert driver._connection.link.cluster.conf_get("client_mount_timeout") == "10"


def test_options_without_effect_are_warned_of(client: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from volumed_drivers.rbd.options import WITHOUT_EFFECT

    caplog.set_level(logging.WARNING)
    backend_of(client, tmp_path).driver()
    assert not caplog.messages
    backend_of(client, tmp_path, **dict.fromkeys(WITHOUT_EFFECT, "5")).driver()
    assert sorted(message.split()[1] for message in caplog.messages) == sorted(WITHOUT_EFFECT)


def test_without_ceph_modules_the_packages_are_named(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of(client, tmp_path)
    monkeypatch.setitem(sys.modules, "rados", None)
    with pytest.raises(BackendInvalid, match="python3-rados and python3-rbd"):
        backend.driver().do_setup()


def test_a_life_in_a_namespace_with_a_key_for_that_alone(cluster: Any, client: Any, tmp_path: Path) -> None:
    import rados
    import rbd

    from tests.lab.ceph import interrupted
    from tests.lab.ceph.cluster import command

    command("rbd", "-c", str(cluster.layout.administrator), "namespace", "create", f"{client.pool}/inside")
    guest = cluster.make_client(f"{client.pool}-inside", client.pool, "inside")
    backend = backend_of(guest, tmp_path, rbd_namespace="inside")
    driver = set_up(backend)
    driver.check_for_setup_error()
    driver.check_health()
    source, copy, snapshot = VOLUME, VolumeRef("c", 2, "pool"), SnapshotRef("s", VOLUME, 1)
    driver.create(source)
    info = driver.connection_info(source, access_of("vm"))
    assert info["data"]["name"] == f"{client.pool}/inside/volume-v"
    backend.data.write_pattern(info, 1, 0, 4096)
    driver.create_snapshot(snapshot, False, unwatched)
    driver.create_from_snapshot(copy, snapshot, unwatched)
    driver.create_from_volume(VolumeRef("d", 1, "pool"), source, unwatched)
    backend.data.write_pattern(info, 2, 0, 4096)
    driver.revert(source, snapshot, unwatched)
    assert backend.data.has_pattern(info, 1, 0, 4096)
    driver.flatten(copy, unwatched)
    driver.ensure_export(source, [access_of("vm")])
    assert set(driver.exports()) == {"v"}
    driver.remove_export(source)
    driver.unmanage(copy)
    driver.manage(copy, {"source-name": "unmanaged-volume-c"})
    assert {found.kind for found in driver.audit()} == {"volume", "snapshot"}
    assert figures(driver).total_gib > 0
    with pool_of(backend_of(client, tmp_path)) as ioctx:
        assert rbd.RBD().list(ioctx) == []
    set_up(backend)  # another process of it: the one before is not shut out while it lives
    driver.delete_snapshot(snapshot)
    for each in (VolumeRef("d", 1, "pool"), copy, source):
        driver.delete(each)
        driver.purge(each, unwatched)
    assert not driver.audit()
    with rados.Rados(conffile=guest.configuration, rados_id=guest.user) as connected:
        with connected.open_ioctx(client.pool) as ioctx:
            ioctx.set_namespace("inside")
            assert not interrupted.left(ioctx)

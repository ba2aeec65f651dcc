"""Clones upon clones, made independent in time; and volumes brought back to a snapshot."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.rbd.drivers import backend_of, set_up
from volumed.driver.errors import BackendInvalid
from volumed.driver.interface import Access, SnapshotRef, VolumeRef, unwatched
from volumed_drivers.rbd import signs

pytestmark = [
    pytest.mark.part("ceph"),
    pytest.mark.part("qemu-io"),
    pytest.mark.embedded_only("it is about the driver alone"),
]

MIB = 1024**2

ANYBODY = Access(attachment_id="a", initiator=None, read_only=False, username="a", password="not-used-here")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    from tests.lab.ceph import cluster

    with cluster.shared().pool() as client:
        yield client


def volume(number: int) -> VolumeRef:
    return VolumeRef(f"level-{number}", 1, "pool")


def purge_all(driver: Any, volumes: list[VolumeRef]) -> None:
    for each in reversed(volumes):
        driver.delete(each)
        driver.purge(each, unwatched)
    assert not driver.audit()


def test_a_clone_that_rests_on_too_many_is_flattened_and_keeps_its_data(client: Any, tmp_path: Path) -> None:
    lab = backend_of(client, tmp_path, rbd_max_clone_depth=2)
    driver = set_up(lab)
    chain = [volume(number) for number in range(4)]
    driver.create(chain[0])
    lab.data.write_pattern(driver.connection_info(chain[0], ANYBODY), 0xA5, 8 * MIB, MIB)
    for source, clone in itertools.pairwise(chain):
        driver.create_from_volume(clone, source, unwatched)
    assert [driver.wants_flatten(each) for each in chain] == [False, False, False, True]
    told: list[tuple[int, int]] = []
    driver.flatten(chain[-1], lambda done, total: told.append((done, total)))
    driver.flatten(chain[-1], unwatched)
    assert told
    assert all(0 <= done <= total for done, total in told)
    assert not driver.wants_flatten(chain[-1])
    assert lab.data.has_pattern(driver.connection_info(chain[-1], ANYBODY), 0xA5, 8 * MIB, MIB)
    driver.delete(chain[2])
    driver.purge(chain[2], unwatched)
    assert driver.has_volume(chain[-1])
    purge_all(driver, chain)


def test_a_volume_from_a_snapshot_is_flattened_where_that_is_asked_for(client: Any, tmp_path: Path) -> None:
    asked = set_up(backend_of(client, tmp_path, rbd_flatten_volume_from_snapshot=True))
    snapshot = SnapshotRef("of-level-0", volume(0), 1)
    asked.create(volume(0))
    asked.create_snapshot(snapshot, False, unwatched)
    asked.create_from_snapshot(volume(1), snapshot, unwatched)
    asked.create_from_volume(volume(2), volume(0), unwatched)
    assert asked.wants_flatten(volume(1))
    assert not asked.wants_flatten(volume(2))
    assert not set_up(backend_of(client, tmp_path)).wants_flatten(volume(1))
    no_clones = set_up(backend_of(client, tmp_path, rbd_max_clone_depth=0))
    assert [no_clones.wants_flatten(volume(number)) for number in range(3)] == [False, True, True]
    asked.delete_snapshot(snapshot)
    purge_all(asked, [volume(0), volume(1), volume(2)])


def test_a_volume_that_has_grown_since_its_snapshot_is_reverted_and_stays_so_large(client: Any, tmp_path: Path) -> None:
    lab = backend_of(client, tmp_path)
    driver = set_up(lab)
    snapshot = SnapshotRef("of-level-0", volume(0), 1)
    driver.create(volume(0))
    info = driver.connection_info(volume(0), ANYBODY)
    lab.data.write_pattern(info, 1, 8 * MIB, MIB)
    driver.create_snapshot(snapshot, False, unwatched)
    driver.extend(volume(0), 2)
    lab.data.write_pattern(info, 2, 8 * MIB, MIB)
    lab.data.write_pattern(info, 2, 1500 * MIB, MIB)
    grown = VolumeRef("level-0", 2, "pool")
    driver.revert(grown, snapshot, unwatched)
    driver.revert(grown, snapshot, unwatched)
    assert lab.data.size(info) == 2048 * MIB
    assert lab.data.has_pattern(info, 1, 8 * MIB, MIB)
    assert lab.data.has_pattern(info, 0, 1500 * MIB, MIB)
    assert driver.has_snapshot(snapshot)
    driver.delete_snapshot(snapshot)
    purge_all(driver, [grown])


def test_a_long_revert_gives_signs_of_life_and_is_not_stopped(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "INTERVAL", 0.002)
    lab = backend_of(client, tmp_path)
    driver, large = set_up(lab), VolumeRef("large", 256, "pool")
    snapshot = SnapshotRef("of-large", large, 256)
    driver.create(large)
    info = driver.connection_info(large, ANYBODY)
    lab.data.write_pattern(info, 1, 0, MIB)
    driver.create_snapshot(snapshot, False, unwatched)
    lab.data.write_pattern(info, 2, 0, MIB)
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        raise Stopped

    with pytest.raises(Stopped):
        driver.revert(large, snapshot, stop)
    assert told == [(0, 256 * 1024 * MIB)]
    assert lab.data.has_pattern(info, 1, 0, MIB)
    driver.delete_snapshot(snapshot)
    purge_all(driver, [large])


class Stopped(Exception):
    """As a service that ends stops what it can."""


def test_what_a_virtual_machine_reads_is_the_same_after_a_revert_and_a_flatten(client: Any, tmp_path: Path) -> None:
    from tests.lab.ceph.data_paths import QemuIo

    lab = backend_of(client, tmp_path)
    driver, machine = set_up(lab), QemuIo(client.configuration)
    snapshot = SnapshotRef("of-level-0", volume(0), 1)
    driver.create(volume(0))
    source = driver.connection_info(volume(0), ANYBODY)
    machine.write_pattern(source, 1, 8 * MIB, MIB)
    driver.create_snapshot(snapshot, False, unwatched)
    machine.write_pattern(source, 2, 8 * MIB, MIB)
    driver.create_from_volume(volume(1), volume(0), unwatched)
    driver.revert(volume(0), snapshot, unwatched)
    driver.flatten(volume(1), unwatched)
    assert machine.has_pattern(source, 1, 8 * MIB, MIB)
    assert machine.has_pattern(driver.connection_info(volume(1), ANYBODY), 2, 8 * MIB, MIB)
    driver.delete_snapshot(snapshot)
    purge_all(driver, [volume(0), volume(1)])


def test_a_clone_whose_parent_is_gone_is_told_refused_and_can_be_deleted(client: Any, tmp_path: Path) -> None:
    """Nothing of volumed takes a parent away; whoever has a key of the pool can."""
    from tests.lab.ceph.cluster import command

    driver = set_up(backend_of(client, tmp_path))
    source, clone = volume(0), volume(1)
    driver.create(source)
    driver.create_from_volume(clone, source, unwatched)
    driver.delete(source)
    (entry,) = [found for found in driver.audit() if found.kind == "remains"]
    assert driver.has_volume(clone)
    parent = entry.where.rpartition("/")[2]
    words = ["rados", "-c", client.configuration, "--id", client.user, "-p", client.pool]
    command(*words, "rm", f"rbd_header.{parent}")
    assert not driver.has_volume(clone)
    (found,) = driver.audit()
    assert (found.id, found.size_bytes) == (clone.id, 0)
    assert f"image {parent}, which it rests on, is gone" in found.detail
    for call in (lambda: driver.extend(clone, 2), lambda: driver.ensure_export(clone, [ANYBODY])):
        with pytest.raises(BackendInvalid, match=f"image {parent}, which it rests on, is gone"):
            call()
    purge_all(driver, [clone])

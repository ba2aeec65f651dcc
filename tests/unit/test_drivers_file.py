"""The file driver's own behaviour, beyond what every driver shares."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.lab.data_paths import Local
from tests.lab.file_backend import FileBackend
from tests.lab.filesystems import small_ext4
from volumed.driver.conformance.kills import kill_at, passages
from volumed.driver.errors import BackendFull, BackendInvalid, BackendNotFound, BackendUnreachable
from volumed.driver.interface import Driver, Owner, SnapshotRef, VolumeRef, unwatched
from volumed_drivers.file.driver import FileDriver

MIB = 1024**2
GIB = 1024**3

SOURCE = VolumeRef("source", 1, "pool")
COPY = VolumeRef("copy", 2, "pool")


def stop(done: int, total: int) -> None:
    """A progress that ends the copy."""
    raise RuntimeError("enough")


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    return FileBackend(tmp_path, "fake", Local())


@pytest.fixture
def driver(backend: FileBackend) -> FileDriver:
    driver = backend.driver()
    driver.do_setup()
    return driver


def write(path: Path, offset: int, length: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\7" * length)
        os.fsync(stream.fileno())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".volumed-owner"}


@pytest.mark.parametrize("owner", [Owner("other-deployment", "file"), Owner("test-deployment", "other")])
def test_a_pool_of_another_owner_is_refused_and_the_owner_is_named(backend: FileBackend, owner: Owner) -> None:
    replace(backend, owner=owner).driver().do_setup()
    with pytest.raises(BackendInvalid, match=f"backend {owner.backend} of deployment {owner.deployment}"):
        backend.driver().do_setup()


def test_the_storage_id_survives_and_differs_between_pools(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "one", "two"):
        driver = FileBackend(tmp_path / name, "fake", Local()).driver()
        driver.do_setup()
        ids.append(driver.capabilities().pools[0].storage_id)
    assert ids[0] == ids[1] != ids[2]


def test_a_pool_whose_file_system_is_not_mounted_is_away_and_not_empty(tmp_path: Path) -> None:
    """What is there then is the folder below."""
    backend = FileBackend(tmp_path, "fake", Local())
    driver = backend.driver()
    driver.do_setup()
    driver.create(SOURCE)
    pool = tmp_path / "pool"
    really = pool.rename(tmp_path / "mounted")
    pool.mkdir()
    calls: list[Callable[[], object]] = [
        lambda: driver.delete(SOURCE),
        lambda: driver.create(COPY),
        driver.audit,
        backend.driver().do_setup,
    ]
    for call in calls:
        with pytest.raises(BackendUnreachable, match=f"the pool {pool} has no mark.*is its file system mounted"):
            call()
    assert list(pool.iterdir()) == []
    other = FileBackend(tmp_path / "other", "fake", Local(), options={"file_pool_path": str(pool)})
    other.driver().do_setup()
    with pytest.raises(BackendUnreachable, match=f"the pool {pool} is storage .*, and was storage"):
        backend.driver().do_setup()
    (pool / ".volumed-owner").unlink()
    pool.rmdir()
    really.rename(pool)
    backend.driver().do_setup()
    driver.delete(SOURCE)
    assert names(pool) == set()


def test_a_folder_with_names_as_ours_and_no_mark_is_not_claimed(tmp_path: Path) -> None:
    """A share of Cinder's, say: all of it would be volumes that no row knows."""
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "volume-theirs").touch()
    with pytest.raises(BackendInvalid, match="it holds volume-theirs"):
        FileBackend(tmp_path, "fake", Local()).driver().do_setup()
    assert [path.name for path in (tmp_path / "pool").iterdir()] == ["volume-theirs"]


def test_a_new_volume_takes_no_space(driver: FileDriver, tmp_path: Path) -> None:
    driver.create(SOURCE)
    found = (tmp_path / "pool" / "volume-source").stat()
    assert (found.st_size, found.st_blocks) == (GIB, 0)


def test_holes_stay_holes_in_a_copy_and_data_arrives(driver: FileDriver, tmp_path: Path) -> None:
    driver.create(SOURCE)
    source, copy = tmp_path / "pool" / "volume-source", tmp_path / "pool" / "volume-copy"
    for offset in (0, 300 * MIB, GIB - MIB):
        write(source, offset, MIB)
    driver.create_from_volume(COPY, SOURCE, unwatched)
    assert copy.stat().st_size == 2 * GIB
    assert copy.stat().st_blocks * 512 <= 4 * MIB
    with copy.open("rb") as stream:
        for offset, expected in ((0, 7), (300 * MIB, 7), (GIB - MIB, 7), (100 * MIB, 0), (GIB, 0)):
            stream.seek(offset)
            assert stream.read(MIB) == bytes([expected]) * MIB


def test_progress_is_told_at_least_every_64_mebibytes_and_may_stop_the_copy(driver: FileDriver, tmp_path: Path) -> None:
    driver.create(SOURCE)
    write(tmp_path / "pool" / "volume-source", 0, 150 * MIB)
    told: list[int] = []
    driver.create_from_volume(COPY, SOURCE, lambda done, total: told.append(done))
    if driver.capabilities().pools[0].features["reflink"]:
        pytest.skip("this file system shares extents: nothing was copied")
    inside = [done for done in told if done <= 150 * MIB]
    assert inside[0] == 0
    assert all(after - before <= 64 * MIB for before, after in pairwise(inside))
    assert told[-1] == GIB


def test_a_half_made_copy_is_never_taken_for_a_volume_and_is_deleted_with_it(
    driver: FileDriver, tmp_path: Path
) -> None:
    driver.create(SOURCE)
    (tmp_path / "pool" / ".volume-copy.part").write_bytes(b"half")
    assert not driver.has_volume(COPY)
    assert [found.kind for found in driver.audit() if found.id == "copy"] == ["temporary"]
    driver.delete(COPY)
    assert names(tmp_path / "pool") == {"volume-source"}


def test_a_first_start_killed_anywhere_leaves_nothing_in_the_pool(tmp_path: Path) -> None:
    def start(driver: Driver) -> None:
        driver.do_setup()

    for passage in passages(start, FileBackend(tmp_path / "undisturbed", "fake", Local()).driver()):
        backend = FileBackend(tmp_path / str(passage.number), "fake", Local())
        assert kill_at(passage, start, backend.driver)
        backend.driver().do_setup()
        assert names(backend.folder / "pool") == set(), passage


@pytest.mark.parametrize("point", ["file.copy.given_up", "file.copy.forgotten"])
def test_a_copy_that_fails_and_is_killed_over_it_leaves_nothing_that_its_delete_leaves(
    backend: FileBackend, driver: FileDriver, tmp_path: Path, point: str
) -> None:
    def copy(driver: Driver) -> None:
        with contextlib.suppress(RuntimeError):
            driver.create_from_volume(COPY, SOURCE, stop)

    driver.create(SOURCE)
    passage = next(each for each in passages(copy, driver) if each.point == point)
    assert kill_at(passage, copy, backend.driver)
    assert not driver.has_volume(COPY)
    driver.delete(COPY)
    assert names(tmp_path / "pool") == {"volume-source"}


def test_a_volume_of_the_wrong_size_is_not_in_place_and_is_completed(driver: FileDriver, tmp_path: Path) -> None:
    (tmp_path / "pool" / "volume-source").touch()
    assert not driver.has_volume(SOURCE)
    driver.create(SOURCE)
    assert driver.has_volume(SOURCE)


@pytest.mark.parametrize("identity", ["../outside", "", "a/b", "nul\0"])
def test_an_id_that_leaves_the_pool_is_refused(driver: FileDriver, identity: str) -> None:
    with pytest.raises(BackendInvalid):
        driver.create(VolumeRef(identity, 1, "pool"))


def test_a_pool_that_vanished_is_unreachable_and_not_an_absent_volume(driver: FileDriver, tmp_path: Path) -> None:
    driver.create(SOURCE)
    (tmp_path / "pool").rename(tmp_path / "elsewhere")
    with pytest.raises(BackendUnreachable):
        driver.extend(SOURCE, 2)
    (tmp_path / "elsewhere").rename(tmp_path / "pool")
    with pytest.raises(BackendNotFound):
        driver.extend(COPY, 3)


def test_a_snapshot_of_an_attached_volume_says_what_the_file_system_lacks(driver: FileDriver) -> None:
    if driver.capabilities().snapshot_attached_support:
        pytest.skip("this file system shares extents")
    driver.create(SOURCE)
    with pytest.raises(BackendInvalid, match="reflink"):
        driver.create_snapshot(SnapshotRef("snapshot", SOURCE, 1), True, unwatched)


def test_space_of_others_is_told_from_ours(driver: FileDriver, tmp_path: Path) -> None:
    driver.create(SOURCE)
    write(tmp_path / "pool" / "volume-source", 0, 8 * MIB)
    pool = driver.capabilities().pools[0]
    used = pool.total_gib - pool.free_gib
    assert used - pool.foreign_gib == pytest.approx(8 * MIB / GIB, abs=MIB / GIB)


@pytest.mark.part("mkfs.ext4")
def test_a_copy_that_cannot_fit_is_refused_before_it_starts(tmp_path: Path) -> None:
    with small_ext4(tmp_path, 64) as mounted:
        driver = FileBackend(tmp_path, "fake", Local(), options={"file_pool_path": str(mounted / "pool")}).driver()
        driver.do_setup()
        driver.create(SOURCE)
        write(mounted / "pool" / "volume-source", 0, 40 * MIB)
        told: list[int] = []
        with pytest.raises(BackendFull, match="free"):
            driver.create_from_volume(COPY, SOURCE, lambda done, total: told.append(done))
        assert told == []
        assert names(mounted / "pool") == {"volume-source"}


@pytest.mark.part("mkfs.ext4")
def test_a_disk_that_fills_up_during_a_copy_keeps_no_part_of_it(tmp_path: Path) -> None:
    with small_ext4(tmp_path, 64) as mounted:
        driver = FileBackend(tmp_path, "fake", Local(), options={"file_pool_path": str(mounted / "pool")}).driver()
        driver.do_setup()
        driver.create(SOURCE)
        write(mounted / "pool" / "volume-source", 0, 20 * MIB)

        def fill_the_disk(done: int, total: int) -> None:
            if done == 0:
                (mounted / "stranger").write_bytes(b"\1" * 25 * MIB)

        with pytest.raises(BackendFull):
            driver.create_from_volume(COPY, SOURCE, fill_the_disk)
        assert names(mounted / "pool") == {"volume-source"}
        (mounted / "stranger").unlink()
        driver.create_from_volume(COPY, SOURCE, unwatched)
        assert driver.has_volume(COPY)


@pytest.mark.part("mkfs.ext4")
def test_a_volume_larger_than_the_file_system_can_name_is_refused(tmp_path: Path) -> None:
    with small_ext4(tmp_path, 64) as mounted:
        driver = FileBackend(tmp_path, "fake", Local(), options={"file_pool_path": str(mounted / "pool")}).driver()
        driver.do_setup()
        with pytest.raises(BackendInvalid, match="large"):
            driver.create(VolumeRef("huge", 65536, "pool"))
        driver.delete(VolumeRef("huge", 65536, "pool"))
        assert driver.audit() == []

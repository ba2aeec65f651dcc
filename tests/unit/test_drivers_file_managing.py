"""What the file driver takes over and gives back, beyond what every driver that manages shares."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.data_paths import Local
from tests.lab.file_backend import FileBackend
from volumed.driver.conformance.kills import kill_at, passages
from volumed.driver.errors import BackendInvalid
from volumed.driver.interface import Driver, VolumeRef
from volumed_drivers.file.driver import FileDriver

GIB = 1024**3
LENGTH = GIB + 12345

TAKEN = VolumeRef("taken", 2, "pool")
REFERENCE = {"source-name": "disk.raw"}


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    return FileBackend(tmp_path, "fake", Local())


@pytest.fixture
def driver(backend: FileBackend) -> FileDriver:
    driver = backend.driver()
    driver.do_setup()
    return driver


@pytest.fixture
def disk(backend: FileBackend, driver: FileDriver) -> Path:
    """A file that somebody put there: not whole GiB, with data at its very end."""
    path = backend.folder / "pool" / "disk.raw"
    with path.open("wb") as stream:
        stream.truncate(LENGTH)
        stream.seek(LENGTH - 3)
        stream.write(b"end")
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".volumed-owner"}


def _end(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(LENGTH - 3)
        return stream.read(6)


def test_it_grows_to_whole_gib_and_is_cut_again_when_it_is_given_back(driver: FileDriver, disk: Path) -> None:
    assert driver.managed_size(REFERENCE) == 2
    driver.manage(TAKEN, REFERENCE)
    assert driver.has_volume(TAKEN)
    assert _end(disk.parent / "volume-taken") == b"end\0\0\0"
    driver.unmanage(TAKEN)
    assert disk.stat().st_size == LENGTH
    assert _end(disk) == b"end"
    assert names(disk.parent) == {"disk.raw"}


def test_what_was_written_behind_its_old_end_is_kept(driver: FileDriver, disk: Path) -> None:
    for offset in (LENGTH, 2 * GIB - 1):
        driver.manage(TAKEN, REFERENCE)
        with (disk.parent / "volume-taken").open("r+b") as stream:
            stream.seek(offset)
            stream.write(b"x")
        driver.unmanage(TAKEN)
        assert disk.stat().st_size == 2 * GIB
        os.truncate(disk, LENGTH)


def test_one_that_was_extended_keeps_its_size(driver: FileDriver, disk: Path) -> None:
    driver.manage(TAKEN, REFERENCE)
    driver.extend(TAKEN, 3)
    driver.unmanage(replace(TAKEN, size=3))
    assert disk.stat().st_size == 3 * GIB


def test_a_deleted_one_leaves_nothing_behind(driver: FileDriver, disk: Path) -> None:
    driver.manage(TAKEN, REFERENCE)
    driver.delete(TAKEN)
    assert names(disk.parent) == set()
    disk.write_bytes(b"again")
    driver.manage(replace(TAKEN, size=1), REFERENCE)
    (left,) = driver.audit()
    driver.remove_leftover(left)
    assert names(disk.parent) == set()


def test_one_that_was_created_here_gets_a_name_that_is_nobodys(driver: FileDriver, disk: Path) -> None:
    driver.create(TAKEN)
    driver.unmanage(TAKEN)
    assert names(disk.parent) == {"disk.raw", "unmanaged-volume-taken"}


def test_an_old_name_that_is_anothers_now_is_not_overwritten(driver: FileDriver, disk: Path) -> None:
    driver.manage(TAKEN, REFERENCE)
    disk.write_bytes(b"another's")
    with pytest.raises(BackendInvalid, match=r"disk\.raw, is another file's now"):
        driver.unmanage(TAKEN)
    assert driver.has_volume(replace(TAKEN, size=1))
    disk.unlink()
    driver.unmanage(TAKEN)
    assert _end(disk) == b"end"


def test_a_file_larger_than_its_volume_is_refused(driver: FileDriver, disk: Path) -> None:
    with pytest.raises(BackendInvalid, match="it has 2 GiB, and 1 were asked for"):
        driver.manage(replace(TAKEN, size=1), REFERENCE)
    assert names(disk.parent) == {"disk.raw"}


@pytest.mark.parametrize("name", ["../disk.raw", ".volumed-owner", "a\0b", "/etc/passwd", "."])
def test_a_name_outside_the_pool_is_refused(driver: FileDriver, disk: Path, name: str) -> None:
    with pytest.raises(BackendInvalid, match="no name of a file"):
        driver.managed_size({"source-name": name})


def test_what_cannot_be_managed_is_listed_with_the_reason(driver: FileDriver, disk: Path) -> None:
    pool = disk.parent
    (pool / "link").symlink_to(disk)
    (pool / "folder").mkdir()
    (pool / "empty").touch()
    (pool / "linked").write_bytes(b"x")
    (pool / "twice").hardlink_to(pool / "linked")
    (Path(os.fsencode(pool).decode()) / os.fsdecode(b"bad-\xff")).write_bytes(b"x")
    found = {each.reference["source-name"]: each for each in driver.manageable_volumes()}
    assert {name: each.reason_not_safe for name, each in found.items()} == {
        "disk.raw": None,
        "link": "it is not a regular file",
        "folder": "it is not a regular file",
        "empty": "it is empty",
        "linked": "it has more than one name",
        "twice": "it has more than one name",
        "bad-\\udcff": "its name has bytes that are no printable text",
    }
    for name in ("link", "folder", "empty", "twice"):
        with pytest.raises(BackendInvalid, match="it "):
            driver.managed_size({"source-name": name})


def test_killed_anywhere_the_old_length_comes_back(backend: FileBackend, driver: FileDriver, disk: Path) -> None:
    def fresh() -> Driver:
        made = backend.driver()
        made.do_setup()
        return made

    def take(made: Driver) -> None:
        assert isinstance(made, FileDriver)
        made.manage(TAKEN, REFERENCE)

    def give(made: Driver) -> None:
        assert isinstance(made, FileDriver)
        made.unmanage(TAKEN)

    taking, giving = passages(take, driver), passages(give, driver)
    for passage in taking:
        assert kill_at(passage, take, fresh), passage
        give(fresh())
        assert (disk.stat().st_size, _end(disk), names(disk.parent)) == (LENGTH, b"end", {"disk.raw"}), passage
    for passage in giving:
        take(fresh())
        assert kill_at(passage, give, fresh), passage
        give(fresh())
        assert (disk.stat().st_size, _end(disk), names(disk.parent)) == (LENGTH, b"end", {"disk.raw"}), passage

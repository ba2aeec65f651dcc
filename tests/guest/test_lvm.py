"""The LVM driver's own behaviour on a real device-mapper, beyond what every driver shares."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import volumed_drivers.lvm.thick
from tests.lab.data_paths import Local
from tests.lab.lvm_backend import FIRST, LvmBackend, empty, instead_of, lvm, volume_group, volumes
from volumed.driver.conformance.kills import kill_at, passages
from volumed.driver.errors import (
    BackendBusy,
    BackendFull,
    BackendHeld,
    BackendInvalid,
    BackendUnreachable,
    OutcomeUnknown,
)
from volumed.driver.interface import Owner, Progress, Remains, SnapshotRef, VolumeRef, unwatched
from volumed.model import crash_points
from volumed_drivers.lvm.driver import LvmDriver

pytestmark = pytest.mark.guest

MIB = 1024**2
GIB = 1024**3

SOURCE, COPY = VolumeRef("source", 1, "vg"), VolumeRef("copy", 1, "vg")
SNAPSHOT = SnapshotRef("monday", SOURCE, 1)


@pytest.fixture(scope="module")
def group() -> Iterator[str]:
    """A group on a disk that is full of another's bytes."""
    with open("/dev/ubda", "r+b") as disk:
        for offset in range(0, 24 * GIB, 64 * MIB):
            disk.seek(offset)
            disk.write(b"\xee" * 65536)
    with volume_group("vg", "/dev/ubda") as group:
        yield group


@pytest.fixture(params=["thin", "thick"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(group: str, kind: str, tmp_path: Path) -> Iterator[LvmBackend]:
    """A backend of that kind; nothing of it is left in the group."""
    yield LvmBackend(tmp_path, group, "fake", Local(), options={"lvm_type": kind})
    clear(group)


@pytest.fixture
def thick(group: str, tmp_path: Path) -> Iterator[LvmBackend]:
    yield LvmBackend(tmp_path, group, "fake", Local(), options={"lvm_type": "thick"})
    clear(group)


@pytest.fixture
def thin(group: str, tmp_path: Path) -> Iterator[LvmBackend]:
    """With a small pool of somebody else's making."""
    lvm("lvcreate", "-y", "-L", "256m", "--poolmetadatasize", "4m", "-c", "64k", "-T", f"{group}/vg-pool")
    yield LvmBackend(tmp_path, group, "fake", Local(), options={"lvm_read_interval": 0.0})
    clear(group)


def clear(group: str) -> None:
    empty(group)
    for tag in lvm("vgs", "--noheadings", "-o", "vg_tags", group).strip().split(","):
        lvm("vgchange", "--deltag", tag, group)


def device(volume: VolumeRef) -> Path:
    return Path(f"/dev/vg/volume-{volume.id}")


def write(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def read(path: Path, offset: int, length: int = 65536) -> bytes:
    with path.open("rb", buffering=0) as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        stream.seek(offset)
        return stream.read(length)


@contextmanager
def noted(notes: Path) -> Iterator[None]:
    """Every LVM command is noted in the file, and then run."""
    with instead_of("lvm-noted", f'echo "${{0##*/}} $*" >>{notes}; exec /usr/sbin/"${{0##*/}}" "$@"'):
        names = ["lvcreate", "lvremove", "lvs", "vgs", "lvchange", "lvrename", "lvextend"]
        for name in names:
            (FIRST / name).symlink_to("lvm-noted")
        try:
            yield
        finally:
            for name in names:
                (FIRST / name).unlink()


@contextmanager
def held_open(path: Path) -> Iterator[int]:
    """A stranger's process has it open."""
    script = f"import signal; f = open({str(path)!r}, 'rb'); print('ready', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-I", "-c", script], stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        try:
            yield stranger.pid
        finally:
            stranger.kill()


def test_a_group_that_is_not_there_is_unreachable_until_it_is(tmp_path: Path) -> None:
    backend = LvmBackend(tmp_path, "late", "fake", Local())
    driver = backend.driver()
    with pytest.raises(BackendUnreachable, match="late"):
        driver.do_setup()
    with volume_group("late", "/dev/ubdb"):
        driver.do_setup()
        driver.create(COPY)
        assert driver.has_volume(COPY)


def test_a_group_of_another_backend_is_refused_and_named(backend: LvmBackend) -> None:
    backend.ready()
    other = replace(backend, owner=Owner("other-deployment", "lvm"))
    with pytest.raises(BackendInvalid, match="volumed/test-deployment/lvm"):
        other.driver().do_setup()


def test_nobody_gets_what_another_left_on_the_disk(backend: LvmBackend) -> None:
    driver = backend.ready()
    driver.create(SOURCE)
    driver.extend(SOURCE, 2)
    for offset in range(0, 2 * GIB, MIB):
        assert read(device(SOURCE), offset).count(0) == 65536, offset


def test_what_a_stranger_has_open_is_busy_and_says_who(backend: LvmBackend) -> None:
    driver = backend.ready()
    driver.create(SOURCE)
    with held_open(device(SOURCE)) as pid, pytest.raises(BackendBusy, match=f"process {pid} "):
        driver.delete(SOURCE)
    assert driver.has_volume(SOURCE)
    driver.delete(SOURCE)
    assert not driver.has_volume(SOURCE)


def test_a_volume_whose_device_is_not_there_after_a_reboot_is_activated_to_be_exported(backend: LvmBackend) -> None:
    driver = backend.ready()
    driver.create(SOURCE)
    lvm("vgchange", "-an", "vg")
    assert not device(SOURCE).exists()
    backend.ready().ensure_export(SOURCE, [])
    assert device(SOURCE).exists()
    assert driver.exports()[SOURCE.id].size_bytes == GIB


def test_many_volumes_are_activated_by_one_command_after_a_reboot(backend: LvmBackend, tmp_path: Path) -> None:
    driver = backend.ready()
    others = [replace(SOURCE, id=f"other-{number}") for number in range(3)]
    for volume in (SOURCE, *others):
        driver.create(volume)
    lvm("vgchange", "-an", "vg")
    driver.delete(others[0])
    fresh, notes = backend.ready(), tmp_path / "notes"
    with noted(notes):
        fresh.prepare_exports([SOURCE.id, *(volume.id for volume in others)])
        for volume in (SOURCE, *others[1:]):
            assert device(volume).exists()
            fresh.ensure_export(volume, [])
    asked = [line.split()[0] for line in notes.read_text().splitlines()]
    assert asked == ["lvchange"]


def test_what_a_killed_activation_of_many_leaves_is_activated_by_the_next(thin: LvmBackend) -> None:
    other = replace(SOURCE, id="other")
    for volume in (SOURCE, other):
        thin.ready().create(volume)

    def prepare(driver: Any) -> None:
        driver.prepare_exports([SOURCE.id, other.id])

    lvm("vgchange", "-an", "vg")
    passed = passages(prepare, thin.ready())
    assert [each.point for each in passed] == ["lvm.activate_all.before", "lvm.activate_all.after"]
    for passage in passed:
        lvm("vgchange", "-an", "vg")
        assert kill_at(passage, prepare, thin.ready), passage
        prepare(thin.ready())
        for volume in (SOURCE, other):
            assert device(volume).exists()
            thin.ready().ensure_export(volume, [])


def test_a_command_that_hangs_is_killed_and_what_it_leaves_is_finished(backend: LvmBackend) -> None:
    options = {**backend.options, "lvm_command_timeout": 3.0}
    driver = replace(backend, options=options).ready()
    with (
        instead_of("lvcreate", "trap '' TERM; /usr/sbin/lvcreate \"$@\"; while :; do sleep 1; done"),
        pytest.raises(OutcomeUnknown),
    ):
        driver.create(SOURCE)
    backend.ready().create(SOURCE)
    assert backend.ready().has_volume(SOURCE)


@pytest.mark.parametrize("points", ["lvm.rename.after", pytest.param("", marks=pytest.mark.full)])
def test_a_volume_goes_back_to_its_snapshot_wherever_that_is_killed(backend: LvmBackend, points: str) -> None:
    driver = backend.ready()
    driver.create(SOURCE)
    write(device(SOURCE), MIB, b"old" * 1000)
    driver.create_snapshot(SNAPSHOT, False, unwatched)
    driver.extend(SOURCE, 2)
    grown = replace(SOURCE, size=2)

    def change() -> None:
        write(device(SOURCE), MIB, b"new" * 1000)
        write(device(SOURCE), GIB + MIB, b"end")

    change()
    passed = passages(lambda fresh: fresh.revert(grown, SNAPSHOT, unwatched), backend.ready())
    for passage in [None, *(each for each in passed if each.point.startswith(points))]:
        if passage is not None:
            change()
            assert kill_at(passage, lambda fresh: fresh.revert(grown, SNAPSHOT, unwatched), backend.ready), passage
            known = [(found.kind, found.id) for found in backend.ready().audit() if found.kind != "temporary"]
            assert sorted(known) == [("snapshot", SNAPSHOT.id), ("volume", SOURCE.id)], passage
            backend.ready().revert(grown, SNAPSHOT, unwatched)
        assert read(device(SOURCE), MIB, 3000) == b"old" * 1000, passage
        assert read(device(SOURCE), GIB + MIB, 3) == bytes(3), passage
    assert backend.ready().has_volume(grown)
    assert backend.ready().has_snapshot(SNAPSHOT)
    assert {found.kind for found in driver.audit()} == {"volume", "snapshot"}


def test_what_somebody_else_made_is_managed_and_given_away(backend: LvmBackend, kind: str) -> None:
    driver = backend.ready()
    how = ["-V", "1500m", "-T", "vg/vg-pool"] if kind == "thin" else ["-L", "1500m", "vg"]
    lvm("lvcreate", "-y", "-n", "theirs", *how)
    write(Path("/dev/vg/theirs"), MIB, b"data")
    (found,) = driver.manageable_volumes()
    assert (found.reference, found.size, found.safe_to_manage) == ({"source-name": "theirs"}, 2, True)
    assert driver.managed_size(found.reference) == 2
    with held_open(Path("/dev/vg/theirs")), pytest.raises(BackendInvalid, match="open"):
        driver.managed_size(found.reference)

    with pytest.raises(BackendInvalid, match="larger than 1 GiB"):
        driver.manage(SOURCE, found.reference)
    taken = replace(SOURCE, size=2)
    driver.manage(taken, found.reference)
    driver.manage(taken, found.reference)
    assert driver.has_volume(taken)
    assert read(device(taken), MIB, 4) == b"data"
    (again,) = driver.manageable_volumes()
    assert (again.id, again.safe_to_manage) == (SOURCE.id, False)
    with pytest.raises(BackendInvalid, match="already"):
        driver.managed_size(again.reference)

    with held_open(device(taken)), pytest.raises(BackendBusy):
        driver.unmanage(taken)
    driver.unmanage(taken)
    driver.unmanage(taken)
    assert not [each for each in driver.audit() if each.kind == "volume"]
    assert read(Path("/dev/vg/theirs"), MIB, 4) == b"data"


def test_what_is_on_its_way_to_be_managed_is_never_removed_as_left_behind(thin: LvmBackend) -> None:
    lvm("lvcreate", "-V", "1g", "-T", "vg/vg-pool", "-n", "theirs")
    reference = {"source-name": "theirs"}
    points = {each.point: each for each in passages(lambda fresh: fresh.manage(SOURCE, reference), thin.ready())}
    thin.ready().unmanage(SOURCE)
    assert kill_at(points["lvm.mark.after"], lambda fresh: fresh.manage(SOURCE, reference), thin.ready)
    driver = thin.ready()
    (found,) = driver.audit()
    assert (found.kind, found.id, found.where) == ("volume", SOURCE.id, "vg/theirs")
    driver.remove_leftover(found)
    assert driver.audit() == []
    (free,) = driver.manageable_volumes()
    assert (free.reference, free.safe_to_manage) == (reference, True)


def test_a_managed_volume_that_was_reverted_goes_back_under_its_old_name(thin: LvmBackend) -> None:
    lvm("lvcreate", "-V", "1g", "-T", "vg/vg-pool", "-n", "theirs")
    driver = thin.ready()
    driver.manage(SOURCE, {"source-name": "theirs"})
    driver.create_snapshot(SNAPSHOT, False, unwatched)
    revert = lambda fresh: fresh.revert(SOURCE, SNAPSHOT, unwatched)  # noqa: E731
    passed = [each for each in passages(revert, thin.ready()) if each.point == "lvm.rename.after"]
    assert kill_at(passed[-1], revert, thin.ready)
    revert(thin.ready())
    driver = thin.ready()
    driver.delete_snapshot(SNAPSHOT)
    driver.unmanage(SOURCE)
    assert [found.reference["source-name"] for found in driver.manageable_volumes()] == ["theirs"]
    assert driver.audit() == []


@pytest.mark.parametrize(("was", "becomes"), [("thick", "thin"), ("thin", "thick")])
def test_volumes_of_one_kind_are_not_served_as_the_other(group: str, tmp_path: Path, was: str, becomes: str) -> None:
    def ready(kind: str) -> LvmDriver:
        return LvmBackend(tmp_path, group, "fake", Local(), options={"lvm_type": kind}).ready()

    ready(was).create(SOURCE)
    with pytest.raises(BackendInvalid, match=f"1 volumes in {group} are not {becomes}, such as volume-{SOURCE.id}"):
        ready(becomes)
    assert ready("auto").has_volume(SOURCE)
    clear(group)


def test_snapshots_are_managed_with_their_volume_only(thick: LvmBackend) -> None:
    driver = thick.ready()
    driver.create(SOURCE)
    driver.create(COPY)
    lvm("lvcreate", "-y", "-s", "-l", "100%ORIGIN", "-n", "theirs", "vg/volume-source")
    (found,) = driver.manageable_snapshots()
    assert found.source_reference == {"source-name": "volume-source"}
    with pytest.raises(BackendInvalid, match="not of volume-copy"):
        driver.manage_snapshot(SnapshotRef("other", COPY, 1), found.reference)
    driver.manage_snapshot(SNAPSHOT, found.reference)
    assert driver.has_snapshot(SNAPSHOT)
    driver.unmanage_snapshot(SNAPSHOT)
    assert [each.safe_to_manage for each in driver.manageable_snapshots()] == [True]


def test_a_deleted_thick_volume_is_out_of_reach_at_once_and_cleared_where_the_wipe_was(thick: LvmBackend) -> None:
    driver = thick.ready()
    driver.create(SOURCE)
    for offset in (0, 300 * MIB, GIB - MIB):
        write(device(SOURCE), offset, b"secret" * 100)
    assert isinstance(driver.delete(SOURCE), Remains)
    assert isinstance(driver.delete(SOURCE), Remains)
    assert not device(SOURCE).exists()
    assert [(each.kind, each.id) for each in driver.audit()] == [("remains", SOURCE.id)]

    def die(done: int, total: int) -> None:
        if done >= 512 * MIB:
            os.kill(os.getpid(), signal.SIGKILL)

    if (child := os.fork()) == 0:
        thick.ready().purge(SOURCE, die)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    told: list[int] = []
    thick.ready().purge(SOURCE, lambda done, total: told.append(done))
    assert told[0] == 512 * MIB
    assert told[-1] == GIB
    thick.ready().purge(SOURCE, unwatched)
    assert volumes("vg") == set()
    assert driver.delete(SOURCE) is None
    lvm("lvcreate", "-y", "-Wn", "-Zn", "-L", "1g", "-n", "next", "vg")
    for offset in (0, 300 * MIB, GIB - MIB):
        assert read(Path("/dev/vg/next"), offset, 600) == bytes(600)


def test_a_wipe_is_no_faster_and_no_larger_than_it_may_be(thick: LvmBackend) -> None:
    options = {**thick.options, "volume_clear_size": 128, "volume_clear_rate": 256}
    driver = replace(thick, options=options).ready()
    driver.create(SOURCE)
    driver.delete(SOURCE)
    told: list[int] = []
    begun = time.monotonic()
    driver.purge(SOURCE, lambda done, total: told.append(total))
    assert time.monotonic() - begun >= 128 / 256
    assert set(told) == {128 * MIB}


def test_nothing_is_left_to_purge_where_nothing_is_cleared(thick: LvmBackend) -> None:
    driver = replace(thick, options={**thick.options, "volume_clear": "none"}).ready()
    driver.create(SOURCE)
    assert driver.delete(SOURCE) is None
    assert volumes("vg") == set()


class Stopped(Exception):
    """What a progress raises when the service ends."""


def stopping_at(least: int) -> Progress:
    def progress(done: int, total: int) -> None:
        if done >= least:
            raise Stopped

    return progress


def test_what_is_stopped_goes_on_where_it_was_and_a_delete_of_it_is_cleared_from_the_beginning(
    thick: LvmBackend,
) -> None:
    """A service that ends stops hours of work; only a kill was taken up again."""
    driver = thick.ready()
    calls: list[Callable[[Progress], object]] = [
        lambda progress: driver.create(SOURCE, progress),
        lambda progress: driver.create_from_volume(COPY, SOURCE, progress),
        lambda progress: driver.extend(SOURCE, 2, progress),
    ]
    for call in calls:
        with pytest.raises(Stopped):
            call(stopping_at(512 * MIB))
        told: list[int] = []
        call(lambda done, total, told=told: told.append(done))
        assert told[0] >= 512 * MIB
    assert driver.has_volume(VolumeRef(SOURCE.id, 2, "vg"))
    assert driver.has_volume(COPY)

    other = VolumeRef("other", 1, "vg")
    with pytest.raises(Stopped):
        driver.create_from_volume(other, COPY, stopping_at(512 * MIB))
    lvm("lvchange", "-an", "vg/volume-other")  # as after a reboot
    assert isinstance(driver.delete(other), Remains)
    assert [each.kind for each in driver.audit() if each.id == "other"] == ["remains"]
    told = []
    driver.purge(other, lambda done, total: told.append(done))
    assert told[0] == 0
    assert not [each for each in driver.audit() if each.id == "other"]


def test_a_copy_that_fails_never_goes_on_from_an_instant_that_is_gone(
    thick: LvmBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it is forgotten: what has the first half of one instant must not get the second of another."""
    driver = thick.ready()
    driver.create(SOURCE)

    def fail(*ignored: object) -> None:
        raise BackendUnreachable(backend="lvm", reason="the disk is gone")

    monkeypatch.setattr(volumed_drivers.lvm.thick, "copy", fail)
    if (child := os.fork()) == 0:
        crash_points.watch(lambda point: os.kill(os.getpid(), signal.SIGKILL) if point == "lvm.remove.after" else None)
        thick.ready().create_from_volume(COPY, SOURCE, unwatched)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert volumes("vg") == {"volume-source", "volumed-clone-copy"}
    assert driver.delete(COPY) is None
    assert volumes("vg") == {"volume-source"}


def test_a_thick_volume_whose_snapshot_is_read_is_grown_later_and_stays_as_it_is(thick: LvmBackend) -> None:
    driver = thick.ready()
    driver.create(SOURCE)
    driver.create_snapshot(SNAPSHOT, False, unwatched)
    with held_open(Path(f"/dev/vg/_snapshot-{SNAPSHOT.id}")):
        with pytest.raises(BackendHeld, match="open"):
            driver.extend(SOURCE, 2)
        assert driver.has_volume(SOURCE)
    with pytest.raises(BackendFull):
        driver.extend(SOURCE, 100)
    assert driver.has_volume(SOURCE)
    driver.extend(SOURCE, 2)
    assert driver.has_volume(VolumeRef(SOURCE.id, 2, "vg"))


def test_the_room_of_thick_snapshots_is_not_promised_to_volumes(thick: LvmBackend) -> None:
    driver = thick.ready()
    driver.create(SOURCE)
    (pool,) = driver.capabilities().pools
    assert pool.foreign_gib == 0
    driver.create_snapshot(SNAPSHOT, False, unwatched)
    (pool,) = driver.capabilities().pools
    assert pool.foreign_gib == pytest.approx(1, rel=0.02)
    assert pool.total_gib - pool.foreign_gib - SOURCE.size == pytest.approx(pool.free_gib)


def test_a_snapshot_that_a_revert_went_back_to_is_still_one_to_be_managed(thin: LvmBackend) -> None:
    driver = thin.ready()
    driver.create(SOURCE)
    driver.create_snapshot(SNAPSHOT, False, unwatched)
    driver.revert(SOURCE, SNAPSHOT, unwatched)
    (found,) = driver.manageable_snapshots()
    assert found.id == SNAPSHOT.id
    driver.unmanage_snapshot(SNAPSHOT)
    (found,) = driver.manageable_snapshots()
    driver.manage_snapshot(SNAPSHOT, found.reference)
    assert driver.has_snapshot(SNAPSHOT)
    assert [each.id for each in driver.manageable_volumes()] == [SOURCE.id]


def test_a_thick_volume_is_not_removed_with_its_snapshots(thick: LvmBackend) -> None:
    driver = thick.ready()
    driver.create(SOURCE)
    driver.create_snapshot(SNAPSHOT, True, unwatched)
    with pytest.raises(BackendBusy, match="_snapshot-monday"):
        driver.delete(SOURCE)
    driver.delete_snapshot(SNAPSHOT)
    assert driver.delete(SOURCE) is not None


def test_a_thick_volume_that_does_not_fit_is_refused_with_the_numbers(thick: LvmBackend) -> None:
    driver = thick.ready()
    with pytest.raises(BackendFull, match="are free in vg"):
        driver.create(VolumeRef("large", 100, "vg"))
    assert volumes("vg") == set()


@pytest.mark.parametrize("what", ["data", "metadata"])
def test_a_pool_at_its_limit_takes_nothing_new_and_says_so_to_the_scheduler(thin: LvmBackend, what: str) -> None:
    empty = float(lvm("lvs", "--noheadings", "-o", "metadata_percent", "vg/vg-pool"))
    limit = 50.0 if what == "data" else empty + 0.3
    driver = replace(thin, options={**thin.options, "lvm_pool_full_percent": limit}).ready()
    driver.create(SOURCE)
    for offset in range(0, 160 * MIB, MIB):
        write(device(SOURCE), offset, b"x" * MIB)
    assert not driver.closed_pools()
    driver.check_health()
    assert driver.closed_pools() == {"vg"}  # before anybody is refused
    with pytest.raises(BackendFull, match=f"its {what} is"):
        driver.create(COPY)
    (pool,) = driver.capabilities().pools
    assert pool.free_gib == 0
    assert what in pool.features["pool_takes_no_more"]
    driver.delete(SOURCE)
    if what == "data":
        driver.create(COPY)


def fill(volume: VolumeRef, chunks: range) -> None:
    """Write into each of these chunks, until the pool takes no more."""
    opened = os.open(device(volume), os.O_RDWR)
    try:
        for chunk in chunks:
            os.pwrite(opened, b"x" * 4096, chunk * 65536)
            if chunk % 2000 == 1999:
                os.fsync(opened)
    finally:
        os.close(opened)


@pytest.fixture
def short_of_metadata(group: str, tmp_path: Path) -> Iterator[LvmBackend]:
    """With a pool whose metadata are full long before its data."""
    lvm("lvcreate", "-y", "-L", "20g", "--poolmetadatasize", "4m", "-c", "64k", "-Zn", "-T", f"{group}/vg-pool")
    yield LvmBackend(tmp_path, group, "fake", Local(), options={"lvm_read_interval": 0.0})
    clear(group)


def refuses_all(driver: LvmDriver, taken: VolumeRef) -> None:
    """What a broken pool would make worse is not begun, and the reason says how it is repaired."""
    before = volumes("vg")
    for asked in (
        lambda: driver.create(COPY),
        lambda: driver.create_snapshot(SNAPSHOT, False, unwatched),
        lambda: driver.extend(taken, taken.size + 1),
        lambda: driver.delete(taken),
        lambda: driver.check_health(),
    ):
        with pytest.raises(BackendUnreachable, match=r"vg-pool is (failed|metadata_read_only): .*--repair"):
            asked()
    assert volumes("vg") == before


def test_a_pool_whose_metadata_are_lost_is_left_alone_until_it_is_repaired(thin: LvmBackend) -> None:
    driver = thin.ready()
    driver.create(SOURCE)
    table = lvm("dmsetup", "table", "vg-vg--pool_tmeta")
    sectors = table.split()[1]
    for words in (["--table", f"0 {sectors} error"], ["--table", table.strip()]):
        lvm("dmsetup", "load", "vg-vg--pool_tmeta", *words)
        lvm("dmsetup", "resume", "vg-vg--pool_tmeta")
        if "error" in words[1]:
            with contextlib.suppress(OSError):
                fill(SOURCE, range(2000))
            refuses_all(driver, SOURCE)
    repair()
    driver.check_health()
    driver.create(COPY)
    for volume in (COPY, SOURCE):
        driver.delete(volume)


@pytest.mark.full
def test_a_pool_that_is_short_of_metadata_takes_nothing_new_and_exhausted_is_left_alone(
    short_of_metadata: LvmBackend,
) -> None:
    driver, large = short_of_metadata.ready(), VolumeRef("large", 40, "vg")
    driver.create(large)
    fill(large, range(172_000))
    with pytest.raises(BackendFull, match=r"its metadata is .* 75 % is the limit"):
        driver.create(COPY)
    assert driver.capabilities().pools[0].free_gib == 0
    with pytest.raises(OSError):
        fill(large, range(172_000, 300_000))
    refuses_all(driver, large)
    repair("lvextend", "-y", "--poolmetadatasize", "+8m", "vg/vg-pool")
    driver.check_health()
    driver.delete(large)
    driver.create(COPY)
    driver.delete(COPY)


def repair(*first: str) -> None:
    """As our manual says; where there was no room, the room comes first, or the repair has none either."""
    lvm("vgchange", "-an", "vg")
    if first:
        lvm(*first)
    lvm("lvconvert", "-y", "--repair", "vg/vg-pool")
    lvm("lvremove", "-y", "vg/vg-pool_meta0")
    lvm("lvchange", "-y", "-ay", "vg/vg-pool")


def test_a_pool_grows_where_that_is_allowed(thin: LvmBackend) -> None:
    driver = replace(thin, options={**thin.options, "lvm_pool_extend_percent": 50.0}).ready()
    driver.create(SOURCE)
    for offset in range(0, 160 * MIB, MIB):
        write(device(SOURCE), offset, b"x" * MIB)
    before = driver.capabilities().pools[0].total_gib
    driver.check_health()
    assert driver.capabilities().pools[0].total_gib > before


def test_a_create_and_a_delete_are_one_command_and_reports_are_for_nothing(backend: LvmBackend, kind: str) -> None:
    driver = replace(backend, options={**backend.options, "lvm_read_interval": 3600.0}).ready()
    driver.check_health()
    notes = backend.folder / "notes"
    with noted(notes):
        driver.create(SOURCE)
        for _ in range(20):
            driver.check_health()
            driver.capabilities()
        made = [line.split()[0] for line in notes.read_text().splitlines()]
        notes.write_text("")
        driver.delete(SOURCE)
        gone = [line.split()[0] for line in notes.read_text().splitlines()]
        if kind == "thin":
            driver.create(SOURCE)
            notes.write_text("")
            driver.create_snapshot(SNAPSHOT, False, unwatched)
            driver.create_from_snapshot(COPY, SNAPSHOT, unwatched)
            shared = [line.split()[0] for line in notes.read_text().splitlines()]
            assert shared == ["lvcreate", "lvcreate"]
    assert made == (["lvcreate"] if kind == "thin" else ["lvcreate", "lvchange"])
    assert gone == (["lvremove"] if kind == "thin" else ["vgs", "lvrename"])


def test_a_thick_create_that_is_killed_is_finished_or_undone_by_the_next(thick: LvmBackend) -> None:
    points = {each.point: each for each in passages(lambda fresh: fresh.create(SOURCE), thick.ready())}
    for point in ("lvm.create.after", "lvm.fill.noted", "lvm.ready.after"):
        driver = thick.ready()
        driver.delete(SOURCE)
        driver.purge(SOURCE, unwatched)
        assert kill_at(points[point], lambda fresh: fresh.create(SOURCE), thick.ready), point
        assert thick.ready().has_volume(SOURCE) == (point == "lvm.ready.after")
        thick.ready().create(SOURCE)
        assert thick.ready().has_volume(SOURCE), point
        for offset in range(0, GIB, 64 * MIB):
            assert read(device(SOURCE), offset).count(0) == 65536, (point, offset)

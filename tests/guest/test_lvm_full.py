"""A thin pool whose data is exhausted by what clients write: what is refused, what goes on, that nothing is lost."""

import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.data_paths import Local
from tests.lab.lvm_backend import PATIENCE, LvmBackend, lvm, volume_group, volumes
from volumed.driver.errors import BackendFull
from volumed.driver.interface import SnapshotRef, VolumeRef, unwatched
from volumed_drivers.lvm.driver import LvmDriver

pytestmark = pytest.mark.guest

MIB = 1024**2

#: MiB of the pool, of it what another volume has, and what is written into the volume that fills it: it does not fit.
POOL, OTHERS, WRITTEN = 64, 24, 48

FILLED, OTHER, NEW = VolumeRef("filled", 1, "vg"), VolumeRef("other", 1, "vg"), VolumeRef("new", 1, "vg")
SNAPSHOT, ANOTHER = SnapshotRef("monday", OTHER, 1), SnapshotRef("tuesday", OTHER, 1)

#: Seconds that writes wait for room before they fail, of the kernel.
NO_SPACE_TIMEOUT = Path("/sys/module/dm_thin_pool/parameters/no_space_timeout")


@pytest.fixture(scope="module")
def group() -> Iterator[str]:
    with volume_group("vg", "/dev/ubda") as group:
        yield group


@pytest.fixture
def backend(group: str, tmp_path: Path) -> Iterator[LvmBackend]:
    """With a small pool, in which writes wait when it is full."""
    sizes = ["-L", f"{POOL}m", "--poolmetadatasize", "4m", "-c", "64k", "--errorwhenfull", "n"]
    lvm("lvcreate", "-y", *sizes, "-T", f"{group}/vg-pool")
    before = NO_SPACE_TIMEOUT.read_text()
    NO_SPACE_TIMEOUT.write_text("600")  # of 60, which a slow machine may need
    yield LvmBackend(tmp_path, group, "fake", Local(), options={"lvm_read_interval": 0.0})
    NO_SPACE_TIMEOUT.write_text(before)
    lvm("lvremove", "-y", "-f", group)


@pytest.fixture(params=["waiting", "waited in vain", "refused"])
def writes(request: pytest.FixtureRequest, backend: LvmBackend) -> str:
    """What becomes of writes into the full pool."""
    if request.param == "waited in vain":
        NO_SPACE_TIMEOUT.write_text("1")
    if request.param == "refused":
        lvm("lvchange", "-y", "--errorwhenfull", "y", "vg/vg-pool")
    return str(request.param)


@contextmanager
def opened(volume: VolumeRef) -> Iterator[int]:
    """Its device, beside the page cache: what is written is in the pool, or was refused."""
    descriptor = os.open(f"/dev/vg/volume-{volume.id}", os.O_RDWR | os.O_DIRECT)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write(volume: VolumeRef, mebibytes: range) -> None:
    """Write its number into each of these, all over."""
    with opened(volume) as device, mmap.mmap(-1, MIB) as piece:
        for number in mebibytes:
            piece[:] = bytes([number + 1]) * MIB
            os.pwritev(device, [piece], number * MIB)


def has(volume: VolumeRef, mebibytes: range) -> bool:
    """Whether each of these was written."""
    with opened(volume) as device, mmap.mmap(-1, MIB) as piece:
        for number in mebibytes:
            os.preadv(device, [piece], number * MIB)
            if piece[:] != bytes([number + 1]) * MIB:
                return False
    return True


@contextmanager
def writing(volume: VolumeRef, mebibytes: range) -> Iterator[Callable[[], bool]]:
    """A client writes meanwhile. Yields what waits for its end, and says whether all of it was taken."""
    child = os.fork()
    if child == 0:
        try:
            write(volume, mebibytes)
        except OSError:
            os._exit(1)
        os._exit(0)
    ended: list[int] = []

    def end() -> bool:
        deadline = time.monotonic() + PATIENCE
        while not ended:
            pid, status = os.waitpid(child, os.WNOHANG)
            ended.extend([os.waitstatus_to_exitcode(status)] if pid else [])
            assert time.monotonic() < deadline, "it still waits for room"
            time.sleep(0.02)
        return ended == [0]

    try:
        yield end
    finally:
        if not ended:  # nothing ends it as long as it waits
            os.kill(child, signal.SIGKILL)
            lvm("lvextend", "-y", "-L", "+1g", "vg/vg-pool")
            end()


def wait_until_full() -> None:
    deadline = time.monotonic() + PATIENCE
    while lvm("lvs", "--noheadings", "-o", "lv_health_status", "vg/vg-pool").strip() != "out_of_data":
        assert time.monotonic() < deadline, "the pool is not full"
        time.sleep(0.02)
    assert "out_of_data_space" in lvm("dmsetup", "status", "vg-vg--pool-tpool")


def refuses_all_that_is_new(driver: LvmDriver) -> None:
    before = volumes("vg")
    for asked in (
        lambda: driver.create(NEW),
        lambda: driver.create_snapshot(ANOTHER, True, unwatched),
        lambda: driver.create_from_volume(NEW, OTHER, unwatched),
        lambda: driver.create_from_snapshot(NEW, SNAPSHOT, unwatched),
        lambda: driver.extend(OTHER, 2),
        lambda: driver.revert(OTHER, SNAPSHOT, unwatched),
    ):
        with pytest.raises(BackendFull, match=r"its data is 100\.0 % full"):
            asked()
    assert volumes("vg") == before


def tells_the_scheduler(driver: LvmDriver) -> None:
    driver.check_health()  # which does not raise: what is there is served
    assert driver.closed_pools() == {"vg"}
    (pool,) = driver.capabilities().pools
    assert (pool.free_gib, pool.features["pool_data_percent"]) == (0, 100)
    assert "its data is" in pool.features["pool_takes_no_more"]


def test_a_full_pool_takes_nothing_new_and_what_is_deleted_makes_room(backend: LvmBackend, writes: str) -> None:
    driver = backend.ready()
    remembering = replace(backend, options={"lvm_read_interval": 3600.0}).ready()
    for volume in (FILLED, OTHER):
        driver.create(volume)
    driver.create_snapshot(SNAPSHOT, False, unwatched)
    write(OTHER, range(OTHERS))
    assert not remembering.closed_pools()
    with writing(FILLED, range(WRITTEN)) as end:
        wait_until_full()
        with pytest.raises(BackendFull, match=r"its data is 100\.0 % full"):
            remembering.create(NEW)  # though it was not full when that was read
        if writes != "waiting":
            assert not end()
        refuses_all_that_is_new(driver)
        tells_the_scheduler(driver)
        assert has(OTHER, range(OTHERS))
        driver.ensure_export(OTHER, [])
        driver.remove_export(OTHER)

        driver.delete_snapshot(SNAPSHOT)
        driver.delete(OTHER)
        assert end() == (writes == "waiting")
    driver.check_health()
    assert not driver.closed_pools()
    assert driver.capabilities().pools[0].free_gib
    assert has(FILLED, range(POOL - OTHERS))
    write(FILLED, range(WRITTEN))
    driver.create(NEW)
    write(NEW, range(4))
    assert has(FILLED, range(WRITTEN))
    for volume in (FILLED, NEW):
        driver.delete(volume)
    assert driver.audit() == []
    assert volumes("vg") == {"vg-pool"}


@pytest.mark.parametrize("grown_by", ["administrator", "driver"])
def test_writes_that_wait_for_room_go_on_when_the_pool_is_grown(backend: LvmBackend, grown_by: str) -> None:
    driver = backend.ready()
    driver.create(FILLED)
    with writing(FILLED, range(POOL + 8)) as end:
        wait_until_full()
        if grown_by == "administrator":
            lvm("lvextend", "-y", "-L", f"+{POOL}m", "vg/vg-pool")
        else:
            growing = replace(backend, options={**backend.options, "lvm_pool_extend_percent": 80.0}).ready()
            growing.check_health()
        assert end()
    assert has(FILLED, range(POOL + 8))
    if grown_by == "administrator":
        driver.create(NEW)
        driver.delete(NEW)
    driver.delete(FILLED)
    assert driver.audit() == []


def test_a_volume_goes_back_to_its_snapshot_while_its_pool_takes_nothing_new(backend: LvmBackend) -> None:
    """That takes no room, and gives some: also where the volume was grown since."""
    driver = replace(backend, options={**backend.options, "lvm_pool_full_percent": 50.0}).ready()
    driver.create(OTHER)
    write(OTHER, range(1))
    driver.create_snapshot(SNAPSHOT, False, unwatched)
    driver.extend(OTHER, 2)
    write(OTHER, range(1, WRITTEN))
    grown = replace(OTHER, size=2)
    with pytest.raises(BackendFull):
        driver.create(NEW)
    driver.revert(grown, SNAPSHOT, unwatched)
    assert driver.has_volume(grown)
    assert has(grown, range(1))
    assert not has(grown, range(1, 2))
    driver.create(NEW)
    driver.delete_snapshot(SNAPSHOT)
    for volume in (grown, NEW):
        driver.delete(volume)
    assert driver.audit() == []

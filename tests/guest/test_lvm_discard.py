"""What an initiator discards is free again in the pool: LIO lets it through where the volume's device takes that."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.compute_host import ComputeHost, compute_host
from tests.lab.libiscsi import NamedIscsi
from tests.lab.lvm_backend import LvmBackend, empty, lvm, volume_group
from volumed.driver.interface import Access, SnapshotRef, VolumeRef, unwatched
from volumed.model.credentials import new_credentials
from volumed_drivers.lvm.driver import LvmDriver

pytestmark = pytest.mark.guest

MIB = 1024**2

VOLUME = VolumeRef("2b0f3f0e-6f0a-4a59-8b5c-7a1d0e9c4b3a", 1, "discards")
SNAPSHOT = SnapshotRef("monday", VOLUME, 1)
NAME, PASSWORD = new_credentials().values()

#: Whether LIO lets discards through to the volume's device: UNMAP, and WRITE SAME that unmaps.
ATTRIBUTES = "sys/kernel/config/target/core/iblock_*/volumed-*/attrib/emulate_tp*"


@pytest.fixture(scope="module")
def host() -> Iterator[ComputeHost]:
    with compute_host() as host:
        yield host


@pytest.fixture(scope="module")
def group() -> Iterator[str]:
    with volume_group("discards", "/dev/ubda") as group:
        yield group


@pytest.fixture
def made(group: str, tmp_path: Path) -> Iterator[Callable[[str], LvmDriver]]:
    """A driver by the kind of its volumes, with ``VOLUME``."""

    def make(kind: str) -> LvmDriver:
        options = {"lvm_type": kind, "target_port": 3260, "volume_clear_size": 64}
        driver = LvmBackend(tmp_path, group, "lio", NamedIscsi(), options=options).ready()
        driver.create(VOLUME)
        return driver

    yield make
    empty(group)


@contextmanager
def attached(driver: LvmDriver, host: ComputeHost) -> Iterator[str]:
    """The volume's disk on the host."""
    access = Access("attachment", host.initiator, False, NAME, PASSWORD)
    driver.ensure_export(VOLUME, [access])
    info = driver.connection_info(VOLUME, access)
    device = host.connect(info)
    try:
        yield device
    finally:
        host.disconnect(info)
        driver.remove_export(VOLUME)


def let_through() -> set[str]:
    return {path.read_text().strip() for path in Path("/").glob(ATTRIBUTES)}


def discard(device: str, offset: int, length: int) -> bool:
    """MiB of it; whether the disk took it."""
    command = ["blkdiscard", "-o", str(offset * MIB), "-l", str(length * MIB), device]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def write(device: str, offset: int, data: bytes) -> None:
    descriptor = os.open(device, os.O_RDWR | os.O_SYNC)
    os.pwrite(descriptor, data, offset)
    os.close(descriptor)


def read(device: str, mebibytes: int) -> bytes:
    """The byte there."""
    descriptor = os.open(device, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    found = os.pread(descriptor, 1, mebibytes * MIB)
    os.close(descriptor)
    return found


def used(name: str) -> float:
    """Percent of it that has data."""
    return float(lvm("lvs", "--noheadings", "-o", "data_percent", f"discards/{name}"))


def test_what_is_discarded_of_a_thin_volume_is_free_in_its_pool_and_reads_as_zeros(
    made: Callable[[str], LvmDriver], host: ComputeHost
) -> None:
    with attached(made("thin"), host) as device:
        assert let_through() == {"1"}
        for offset in range(128, 256, 8):
            write(device, offset * MIB, b"x" * 8 * MIB)
        assert used(f"volume-{VOLUME.id}") == 12.5
        pool = used("discards-pool")
        assert discard(device, 128, 64)
        # The initiator cuts it into pieces, and a block that is in two of them stays.
        assert 6.25 <= used(f"volume-{VOLUME.id}") < 6.3
        assert used("discards-pool") < pool
        assert [read(device, offset) for offset in (128, 191, 192, 255)] == [b"\0", b"\0", b"x", b"x"]


def test_a_thick_volume_takes_discards_where_its_disk_does_and_not_from_its_snapshot(
    made: Callable[[str], LvmDriver], host: ComputeHost
) -> None:
    driver = made("thick")
    with attached(driver, host) as device:
        assert Path("/sys/block/ubda/queue/discard_max_bytes").read_text() != "0\n"
        assert let_through() == {"1"}
        assert discard(device, 0, 64)
        write(device, 512 * MIB, b"x")
        driver.create_snapshot(SNAPSHOT, True, unwatched)
        discard(device, 512, 1)
        assert read(f"/dev/discards/_snapshot-{SNAPSHOT.id}", 512) == b"x"
    driver.ensure_export(VOLUME, [])
    assert let_through() == {"0"}  # as of the device now: nothing can be discarded beside a snapshot
    driver.remove_export(VOLUME)

"""Thick volumes with a copy of each on another disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.data_paths import Local
from tests.lab.lvm_backend import LvmBackend, lvm, volume_group, volumes
from volumed.driver.errors import BackendFull
from volumed.driver.interface import VolumeRef, unwatched

pytestmark = pytest.mark.guest

MIB, GIB = 1024**2, 1024**3

VOLUME = VolumeRef("mirrored", 1, "mirrors")
DEVICE = Path("/dev/mirrors/volume-mirrored")


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[LvmBackend]:
    with volume_group("mirrors", "/dev/ubda", "/dev/ubdb") as group:
        options = {"lvm_type": "thick", "lvm_mirrors": 1, "volume_clear_size": 64, "lvm_read_interval": 3600.0}
        yield LvmBackend(tmp_path, group, "fake", Local(), options=options)


def test_each_volume_is_on_two_disks_cleared_and_grown_on_both_and_counted_twice(backend: LvmBackend) -> None:
    for disk in ("/dev/ubda", "/dev/ubdb"):
        with open(disk, "r+b") as stream:
            for offset in range(64 * MIB, 4 * GIB, 64 * MIB):
                stream.seek(offset)
                stream.write(b"\xee" * 65536)
    driver = backend.ready()
    (pool,) = driver.capabilities().pools
    assert pool.total_gib == pytest.approx(24, rel=0.01)
    driver.create(VOLUME)
    (told,) = driver.capabilities().pools
    assert told.free_gib == pytest.approx(pool.free_gib - VOLUME.size, abs=0.1)  # without another look
    driver.create(VOLUME)
    assert disks_below() == {"/dev/ubda", "/dev/ubdb"}
    driver.extend(VOLUME, 2)
    for leg in lvm("lvs", "-a", "--noheadings", "-o", "lv_name", "-S", "lv_name=~_rimage_", "mirrors").split():
        name = leg.strip("[]").replace("-", "--")
        with open(f"/dev/mapper/mirrors-{name}", "rb") as stream:
            for offset in range(0, 2 * GIB, 64 * MIB):
                stream.seek(offset)
                assert not any(stream.read(65536)), (leg, offset)
    (pool,) = driver.capabilities().pools
    assert pool.free_gib == pytest.approx(22, rel=0.01)

    with pytest.raises(BackendFull, match="bytes are needed"):
        driver.create(VolumeRef("large", 23, "mirrors"))
    driver.delete(VOLUME)
    driver.purge(VOLUME, unwatched)
    assert volumes("mirrors") == set()


def disks_below() -> set[str]:
    """The physical volumes that the volume's two copies are on, each copy on one of its own."""
    told = lvm("lvs", "-a", "--noheadings", "-o", "devices", "-S", "lv_name=~_rimage_", "mirrors").split()
    found = [each.partition("(")[0] for each in told]
    assert len(found) == 2, told
    return set(found)

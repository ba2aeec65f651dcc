"""LVM beside a udevd, which makes the links of volumes and which LVM waits for: as on most nodes."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.data_paths import Local
from tests.lab.lvm_backend import PATIENCE, LvmBackend, empty, instead_of, lvm, volume_group
from volumed.driver.commands import GRACE
from volumed.driver.errors import BackendUnreachable, OutcomeUnknown
from volumed.driver.interface import SnapshotRef, VolumeRef, unwatched

pytestmark = pytest.mark.guest(udev=True)

GIB = 1024**3

SOURCE, COPY = VolumeRef("source", 1, "linked"), VolumeRef("copy", 1, "linked")
SNAPSHOT = SnapshotRef("monday", SOURCE, 1)

#: Seconds that LVM is waited for while udevd does not answer.
LIMIT = 5.0

#: Seconds beyond, on a busy machine.
SLACK = 20.0


@pytest.fixture(scope="module")
def group() -> Iterator[str]:
    with volume_group("linked", "/dev/ubda") as group:
        yield group


@pytest.fixture(params=["thin", "thick"])
def backend(group: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LvmBackend]:
    options = {"lvm_type": request.param, "volume_clear_size": 64}
    yield LvmBackend(tmp_path, group, "fake", Local(), options=options)
    empty(group)


def links() -> set[str]:
    """Of volumes, as udevd has made them; pools have none."""
    return {path.name for path in Path("/dev/linked").glob("*")}


def udevd() -> int:
    (found,) = subprocess.run(["pidof", "systemd-udevd"], check=True, capture_output=True, text=True).stdout.split()
    return int(found)


@contextmanager
def stopped_udevd() -> Iterator[None]:
    """Within, udevd is there and does nothing; afterwards it has done all that it was to do."""
    os.kill(udevd(), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(udevd(), signal.SIGCONT)
        subprocess.run(["udevadm", "settle"], check=True)


def test_udevd_makes_and_removes_the_links_of_volumes_and_lvm_is_told_to_wait_for_it(
    backend: LvmBackend, tmp_path: Path
) -> None:
    driver = backend.ready()
    with instead_of("lvcreate", f'env >{tmp_path}/told; exec /usr/sbin/lvcreate "$@"'):
        driver.create(SOURCE)
    assert "DM_DISABLE_UDEV" not in (tmp_path / "told").read_text()
    link = Path("/dev/linked/volume-source")
    assert link.readlink().parts[-1].startswith("dm-")  # LVM's own would lead to /dev/mapper
    driver.create_snapshot(SNAPSHOT, False, unwatched)
    driver.create_from_snapshot(COPY, SNAPSHOT, unwatched)
    assert links() >= {"volume-source", "volume-copy"}
    driver.extend(COPY, 2)
    assert driver.has_volume(replace(COPY, size=2))

    lvm("vgchange", "-an", "linked")
    assert links() == set()
    fresh = backend.ready()
    fresh.prepare_exports([SOURCE.id, COPY.id])
    assert links() >= {"volume-source", "volume-copy"}
    for volume in (SOURCE, replace(COPY, size=2)):
        fresh.ensure_export(volume, [])
        fresh.remove_export(volume)

    fresh.delete_snapshot(SNAPSHOT)
    for volume in (SOURCE, COPY):
        if fresh.delete(volume) is not None:
            fresh.purge(volume, unwatched)
    assert links() == set()
    assert not fresh.audit()


def repeated(call: Callable[[], object]) -> None:
    """As the service repeats what ended in an error that is declared."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            call()
            return
        except (BackendUnreachable, OutcomeUnknown):
            assert time.monotonic() < deadline
            time.sleep(0.5)


def test_what_waits_for_a_udevd_that_is_stopped_is_killed_in_time_and_done_when_it_goes_on(backend: LvmBackend) -> None:
    backend.ready()  # its pool is made without a limit
    driver = replace(backend, options=backend.options | {"lvm_command_timeout": LIMIT}).ready()
    calls: list[tuple[Callable[[], object], bool]] = [
        (lambda: driver.create(SOURCE), True),
        (lambda: driver.extend(SOURCE, 2), True),
        (lambda: driver.delete(SOURCE), False),
    ]
    killed = 0
    for call, is_there in calls:
        begun = time.monotonic()
        with stopped_udevd():
            try:
                call()
            except OutcomeUnknown:
                killed += 1
            assert time.monotonic() - begun < LIMIT + 2 * GRACE + SLACK
        repeated(call)
        assert driver.has_volume(SOURCE) is is_there
        assert ("volume-source" in links()) is is_there
    assert killed > 1  # where a device was not there it is not waited for
    if driver.fills():
        driver.purge(SOURCE, unwatched)
    assert not driver.audit()


@pytest.mark.parametrize("backend", ["thin"], indirect=True)
def test_volumes_whose_activation_after_a_boot_was_killed_are_activated_by_the_next(backend: LvmBackend) -> None:
    """LVM leaves the pool's parts active without it, and refuses to activate anything then."""
    for volume in (SOURCE, COPY):
        backend.ready().create(volume)
    lvm("vgchange", "-an", "linked")
    driver = replace(backend, options=backend.options | {"lvm_command_timeout": LIMIT}).ready()
    with stopped_udevd(), pytest.raises(OutcomeUnknown, match=f"did not end within {LIMIT:g} s"):
        driver.prepare_exports([SOURCE.id, COPY.id])
    assert "/linked-linked--pool_tmeta" in lvm("sh", "-c", "ls /dev/mapper/*")
    driver.check_health()
    driver.prepare_exports([SOURCE.id, COPY.id])
    assert links() >= {"volume-source", "volume-copy"}
    driver.ensure_export(SOURCE, [])
    driver.remove_export(SOURCE)

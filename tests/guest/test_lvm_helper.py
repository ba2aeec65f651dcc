"""``volumed-lvm`` on a real device-mapper: a service that is nobody has its volumes, and only those."""

import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.data_paths import Local
from tests.lab.lvm_backend import PATIENCE, LvmBackend, as_nobody, empty, helper, instead_of, volume_group
from volumed.driver.errors import BackendBusy, BackendError, BackendInvalid, BackendUnreachable, OutcomeUnknown
from volumed.driver.interface import SnapshotRef, VolumeRef, unwatched
from volumed.model.held_lock import holding
from volumed_drivers.lvm.driver import LvmDriver
from volumed_drivers.lvm.hands import Asked

pytestmark = pytest.mark.guest

#: A user that is neither the service's nor root.
ANOTHER = 12345

MIB, GIB = 1024**2, 1024**3

SOURCE, COPY, CLONE = VolumeRef("source", 1, "helped"), VolumeRef("copy", 1, "helped"), VolumeRef("clone", 1, "helped")
SNAPSHOT = SnapshotRef("monday", SOURCE, 1)


@pytest.fixture(scope="module")
def group() -> Iterator[str]:
    with volume_group("helped", "/dev/ubda") as group:
        yield group


@pytest.fixture
def kind() -> str:
    return "thin"


@pytest.fixture
def backend(group: str, folder: Path, kind: str) -> Iterator[LvmBackend]:
    options = {"lvm_type": kind, "lvm_helper_socket": str(folder / "lvm.sock"), "volume_clear_size": 64}
    yield LvmBackend(folder, group, "fake", Local(), options=options)
    empty(group)


@pytest.mark.parametrize("kind", ["thin", "thick"])
def test_nobody_makes_copies_grows_reverts_and_deletes_volumes(backend: LvmBackend) -> None:
    def work() -> None:
        driver = backend.ready()
        driver.create(SOURCE)
        driver.create_snapshot(SNAPSHOT, False, unwatched)
        driver.create_from_snapshot(COPY, SNAPSHOT, unwatched)
        driver.create_from_volume(CLONE, SOURCE, unwatched)
        driver.extend(COPY, 2)
        driver.revert(SOURCE, SNAPSHOT, unwatched)
        assert driver.has_volume(replace(COPY, size=2))
        assert driver.has_volume(CLONE)
        assert driver.capabilities().pools[0].total_gib
        driver.delete_snapshot(SNAPSHOT)
        for volume in (SOURCE, COPY, CLONE):
            if driver.delete(volume) is not None:
                driver.purge(volume, unwatched)
        assert not driver.audit()

    with helper(backend.folder / "lvm.sock", backend.pool):
        as_nobody(work)


def test_who_holds_a_volume_is_named_also_to_nobody_when_it_is_another_users_program(backend: LvmBackend) -> None:
    """As qemu of the node is: of a user of its own, and exec'ed, so that its descriptors are that user's to list."""
    with helper(backend.folder / "lvm.sock", backend.pool):
        backend.ready().create(SOURCE)
        with another_users_program(backend.ready()) as holder:
            owner = os.stat(f"/proc/{holder}/fd")
            assert (owner.st_uid, owner.st_mode & 0o777) == (ANOTHER, 0o500)

            def work() -> None:
                with pytest.raises(BackendBusy, match=rf"process {holder} \(sleep\)"):
                    backend.ready().delete(SOURCE)

            as_nobody(work)


@contextmanager
def another_users_program(driver: LvmDriver) -> Iterator[int]:
    """Have one hold the volume open; yields its process id."""
    with driver._lvm.opened("volume-source", writable=False) as device:
        holder = subprocess.Popen(
            ["/usr/bin/sleep", "600"], user=ANOTHER, group=ANOTHER, extra_groups=[], pass_fds=[device]
        )
    try:
        yield holder.pid
    finally:
        holder.kill()
        holder.wait()


def test_a_group_that_the_helper_was_not_given_is_not_worked_on_and_no_other_device_is_handed_over(
    backend: LvmBackend,
) -> None:
    with helper(backend.folder / "lvm.sock", "another"):
        with pytest.raises(BackendInvalid, match="none of the groups"):
            backend.ready()
    with helper(backend.folder / "lvm.sock", backend.pool):
        driver = backend.ready()
        driver.create(SOURCE)
        device = Path("/dev/helped/volume-source")
        real = device.readlink()
        device.unlink()
        device.symlink_to("/dev/ubdb")
        with pytest.raises(OSError, match="no device of LVM"):
            driver._lvm.hands.open("helped", "volume-source", writable=True)
        device.unlink()
        device.symlink_to(real)


def test_it_holds_the_capabilities_that_its_unit_names_and_lets_in_whom_it_was_told(backend: LvmBackend) -> None:
    with helper(backend.folder / "lvm.sock", backend.pool) as process:
        backend.ready()
        status = Path(f"/proc/{process.pid}/status").read_text()
        held = {line.split()[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")}
        wanted = sum(1 << number for number in (0, 2, 14, 19, 21, 23, 27))
        assert (held["CapPrm:"], held["CapEff:"], held["CapBnd:"]) == (wanted, wanted, wanted)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setresuid(ANOTHER, ANOTHER, ANOTHER)
                Asked("backend", backend.folder / "lvm.sock", 5).meet()
            except BackendUnreachable:
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_without_a_helper_nothing_is_done_and_the_command_that_helps_is_named(backend: LvmBackend) -> None:
    with pytest.raises(BackendUnreachable, match=r"systemctl start volumed-lvm\.socket"):
        backend.ready()


def test_a_command_that_hangs_is_ended_by_the_helper(backend: LvmBackend) -> None:
    hurried = replace(backend, options=backend.options | {"lvm_command_timeout": 3.0})
    with helper(backend.folder / "lvm.sock", backend.pool):
        driver = hurried.ready()
        with instead_of("lvcreate", "trap '' TERM; while :; do sleep 1; done"), pytest.raises(OutcomeUnknown):
            driver.create(SOURCE)
        assert running("lvcreate") == []
        driver.create(SOURCE)


def test_a_command_that_outlives_helper_and_service_keeps_the_lock(backend: LvmBackend) -> None:
    lock = os.open(backend.folder / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with helper(backend.folder / "lvm.sock", backend.pool) as process:
        driver = backend.ready()
        refused: list[BackendError] = []

        def create() -> None:
            with holding(lock):
                try:
                    driver.create(SOURCE)
                except BackendError as error:
                    refused.append(error)

        with instead_of("lvcreate", 'sleep 3; exec /usr/sbin/lvcreate "$@"'):
            thread = threading.Thread(target=create)
            thread.start()
            wait_for(lambda: bool(running("lvcreate")))
            process.kill()
            thread.join()
            os.close(lock)
            again = os.open(backend.folder / "lock", os.O_RDWR)
            with pytest.raises(BlockingIOError):
                fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(again, fcntl.LOCK_EX)
        os.close(again)
    assert isinstance(refused[0], OutcomeUnknown)
    with helper(backend.folder / "lvm.sock", backend.pool):
        backend.ready().create(SOURCE)
        assert backend.ready().has_volume(SOURCE)


def running(program: str) -> list[str]:
    return subprocess.run(["pgrep", "-f", f"{program} -y"], capture_output=True, text=True, check=False).stdout.split()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.05)

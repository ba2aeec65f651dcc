"""Options of the LVM driver that say how LVM's commands are run, by what the real commands do then."""

import fcntl
import grp
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab.data_paths import Local
from tests.lab.lvm_backend import PATIENCE, LvmBackend, as_nobody, empty, instead_of, nobody, volume_group, volumes
from volumed.driver.errors import BackendInvalid, BackendUnreachable, OutcomeUnknown
from volumed.driver.interface import SnapshotRef, VolumeRef, unwatched
from volumed.model.held_lock import holding

pytestmark = pytest.mark.guest

SOURCE, COPY = VolumeRef("source", 1, "optional"), VolumeRef("copy", 1, "optional")
SNAPSHOT = SnapshotRef("monday", SOURCE, 1)

#: What a careless wrapper does: it leaves a descriptor of its own to the command that it becomes.
LEAKING = 'exec 7</etc/services; exec /usr/sbin/"${0##*/}" "$@"'

#: What nobody may do by sudo, as the manual says it: the driver's calls of ``env``, to the letter up to LVM's words.
TOLD = "/usr/bin/env LVM_SUPPRESS_FD_WARNINGS=1 DM_DISABLE_UDEV=1 LC_ALL=C"
VERBS = ("lvcreate", "lvremove", "lvrename", "lvchange", "lvextend", "vgs", "vgchange")

#: Whose the devices are.
DISK = grp.getgrnam("disk").gr_gid


@pytest.fixture(scope="module")
def group() -> Iterator[str]:
    with volume_group("optional", "/dev/ubda") as group:
        yield group


@pytest.fixture
def backend(group: str, folder: Path) -> Iterator[LvmBackend]:
    yield LvmBackend(folder, group, "fake", Local(), options={"lvm_type": "thin", "volume_clear_size": 64})
    empty(group)


def given(backend: LvmBackend, **options: Any) -> LvmBackend:
    return replace(backend, options=backend.options | options)


def configuration(folder: Path, seen: str) -> Path:
    """A configuration by which LVM sees the disk ``seen`` and no other."""
    folder.mkdir()
    shutil.copy("/etc/lvm/lvmlocal.conf", folder)  # which says what the guest's disks are
    told = folder / "lvm.conf"
    told.write_text(f'devices {{ global_filter = [ "a|^{seen}$|", "r|.*|" ] }}\n')
    return told


def test_the_commands_read_the_configuration_that_is_named(backend: LvmBackend, tmp_path: Path) -> None:
    ours, others = (configuration(tmp_path / name, f"/dev/{name}") for name in ("ubda", "ubdb"))
    driver = given(backend, lvm_conf_file=str(ours)).ready()
    driver.create(SOURCE)
    blind = given(backend, lvm_conf_file=str(others)).driver()
    with pytest.raises(BackendUnreachable, match='"optional" not found'):
        blind.do_setup()
    with pytest.raises(BackendUnreachable):
        blind.create(COPY)
    assert volumes("optional") == {"optional-pool", "volume-source"}  # by the node's own configuration
    ours.write_text(others.read_text())
    with pytest.raises(BackendUnreachable, match='"optional" not found'):
        driver.delete(SOURCE)


def test_a_configuration_that_lvm_would_not_read_is_refused_until_it_does(backend: LvmBackend, tmp_path: Path) -> None:
    """Without it LVM sees every disk: what tenants have written into their volumes, too."""
    missing, other = tmp_path / "lvm.conf", configuration(tmp_path / "named", "/dev/ubda").with_name("fast.conf")
    other.touch()
    drivers = {path: given(backend, lvm_conf_file=str(path)).driver() for path in (missing, other)}
    for path, why in ((missing, "there is no such file"), (other, "by the name of lvm.conf only")):
        with pytest.raises(BackendInvalid, match=f"lvm_conf_file = {path}.*{why}"):
            drivers[path].do_setup()
    assert volumes("optional") == set()
    configuration(tmp_path / "late", "/dev/ubdb").rename(missing)
    with pytest.raises(BackendUnreachable, match='"optional" not found'):
        drivers[missing].do_setup()


@pytest.mark.parametrize("quiet", [True, False])
def test_lvm_complains_of_an_inherited_descriptor_only_where_that_is_wanted(backend: LvmBackend, quiet: bool) -> None:
    told = given(backend, lvm_suppress_fd_warnings=quiet)
    driver = told.ready()
    with instead_of("vgs", LEAKING):
        done = driver._lvm.hands.change(["vgs", "optional"])
        assert done.status == 0
        assert ("File descriptor 7 (/etc/services) leaked on vgs" in done.complaint) is not quiet
        assert driver.has_volume(SOURCE) is False
        with pytest.raises(BackendUnreachable, match='"absent" not found') as refused:
            replace(told, pool="absent").ready()
    assert ("leaked on vgs" in str(refused.value)) is not quiet


@pytest.fixture
def sudo(backend: LvmBackend) -> Iterator[LvmBackend]:
    """A backend whose service is nobody, and has LVM's commands run by sudo as the manual says."""
    rule = Path("/etc/sudoers.d/volumed")
    rule.write_text(f"nobody ALL=(root) NOPASSWD: {', '.join(f'{TOLD} {verb} *' for verb in VERBS)}\n")
    rule.chmod(0o440)
    yield given(backend, lvm_root_helper="sudo -n")
    rule.unlink(missing_ok=True)


@pytest.mark.part("sudo")
def test_nobody_has_thin_volumes_by_sudo(sudo: LvmBackend) -> None:
    def work() -> None:
        driver = sudo.ready()
        driver.create(SOURCE)
        driver.create_snapshot(SNAPSHOT, False, unwatched)
        driver.create_from_snapshot(COPY, SNAPSHOT, unwatched)
        driver.extend(COPY, 2)
        driver.revert(SOURCE, SNAPSHOT, unwatched)
        assert driver.has_volume(replace(COPY, size=2))
        driver.delete_snapshot(SNAPSHOT)
        for volume in (SOURCE, COPY):
            driver.delete(volume)
        assert not driver.audit()

    as_nobody(work, [DISK])


@pytest.mark.part("sudo")
def test_nobody_clears_thick_volumes_by_sudo(sudo: LvmBackend) -> None:
    def work() -> None:
        driver = given(sudo, lvm_type="thick").ready()
        driver.create(SOURCE)
        assert driver.delete(SOURCE) is not None
        driver.purge(SOURCE, unwatched)
        assert not driver.audit()

    as_nobody(work, [DISK])


@pytest.mark.part("sudo")
def test_what_sudo_does_not_allow_is_said_in_its_words(sudo: LvmBackend) -> None:
    Path("/etc/sudoers.d/volumed").unlink()

    def work() -> None:
        with pytest.raises(BackendUnreachable, match="sudo: a password is required"):
            sudo.ready()

    as_nobody(work, [DISK])


@pytest.mark.part("sudo")
def test_a_command_that_hangs_by_sudo_cannot_be_killed_and_is_waited_for(sudo: LvmBackend) -> None:
    """Sudo can be, and what it runs is root's: it would work beside whatever comes next."""
    sudo.ready()

    def work() -> None:
        driver = given(sudo, lvm_command_timeout=6.0).ready()
        begun = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            driver.create(SOURCE)
        assert time.monotonic() - begun > 13
        assert driver.has_volume(SOURCE)

    with instead_of("lvcreate", 'trap "" TERM; sleep 13; exec /usr/sbin/lvcreate "$@"'):
        as_nobody(work, [DISK])


@pytest.mark.part("sudo")
def test_a_look_that_hangs_by_sudo_is_not_waited_for(sudo: LvmBackend) -> None:
    """It changes nothing: whoever reports or keeps the exports goes on, and says what hangs."""
    sudo.ready()
    ended = sudo.folder / "ended"

    def work() -> None:
        driver = given(sudo, lvm_command_timeout=6.0).driver()
        with pytest.raises(OutcomeUnknown, match="did not end within 6 s"):
            driver.do_setup()
        assert not ended.exists()

    with instead_of("vgs", f'trap "" TERM; sleep 20; echo >{ended}'):
        as_nobody(work, [DISK])
        deadline = time.monotonic() + PATIENCE
        while not ended.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.part("sudo")
def test_a_command_by_sudo_that_outlives_its_service_keeps_the_lock(sudo: LvmBackend) -> None:
    sudo.ready()
    begun, lock = sudo.folder / "begun", os.open(sudo.folder / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)

    def work() -> None:
        driver = sudo.driver()
        driver.do_setup()
        with holding(lock):
            driver.create(SOURCE)

    with instead_of("lvcreate", f'echo >{begun}; sleep 3; exec /usr/sbin/lvcreate "$@"'):
        service = nobody(work, [DISK])
        deadline = time.monotonic() + PATIENCE
        while not begun.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(service, signal.SIGKILL)
        os.waitpid(service, 0)
        os.close(lock)
        again = os.open(sudo.folder / "lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(again, fcntl.LOCK_EX)
        os.close(again)
    assert sudo.ready().has_volume(SOURCE)

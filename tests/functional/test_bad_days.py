"""Full disks, missing programs, taken ports, folders without permission: a clear word, nothing lost, and it goes on
by itself when the world is well again.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.lab.daemon import PATIENCE, Daemon, Session, refused, running_daemon
from tests.lab.filesystems import small_ext4
from tests.lab.nursery import ForkedDaemon, forked_daemon
from tests.lab.outside import Outside

pytestmark = [
    pytest.mark.embedded_only("it takes the state folder with its SQLite file away"),
    pytest.mark.part("tgtd"),
]

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="what root may prepare")

CONFIGURATION = """
[DEFAULT]
graceful_shutdown_timeout = 2
periodic_fuzzy_delay = 0
capability_interval = 0.5
[operations]
sweep_interval = 0.5
retry_pause = 0.2
"""

#: Root as an ordinary user: permissions count (capabilities(7)).
WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

#: A mount namespace of its own, in which tgtd can be hidden from one daemon alone.
NAMESPACE = ("unshare", "--mount", "--propagation", "private")
TGTD = "/usr/sbin/tgtd"
HIDDEN = (*NAMESPACE, "sh", "-c", f'mount --bind /dev/null {TGTD} && exec "$@"', "sh")

MIB = 1024**2
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name, since sockets may be below it."""
    with tempfile.TemporaryDirectory(prefix="volumed-") as name:
        yield Path(name)


@pytest.fixture
def small(folder: Path) -> Iterator[Path]:
    """A file system of 64 MiB."""
    with small_ext4(folder, 64) as mounted:
        yield mounted


def wait_for(condition: Callable[[], bool], daemon: Daemon) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, daemon.output()
        time.sleep(0.05)


def state_of_backend(rest: Session) -> tuple[str, str]:
    """What the volume service says of itself, and why."""
    services = rest.get("/os-services", params={"binary": "volumed-volume"}).json()["services"]
    return services[0]["state"], services[0]["volumed:state_reason"] or ""


def wait_for_state(daemon: Daemon, rest: Session, state: str, why: str = "") -> str:
    """Wait until the volume service has ``state`` with ``why`` in its reason; returns the reason."""
    wait_for(lambda: state_of_backend(rest)[0] == state and why in state_of_backend(rest)[1], daemon)
    return state_of_backend(rest)[1]


def command(daemon: Daemon, *arguments: str) -> str:
    """What a command of the client prints, in a wide terminal."""
    environment = {**os.environ, "VOLUMED_URL": daemon.url, "VOLUMED_TOKEN": "admin:admin", "COLUMNS": "400"}
    command = [sys.executable, "-m", "volumed.cmd.volumed", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True).stdout


def fill(folder: Path, leave: int = 0) -> Path:
    """Fill the file system of ``folder`` but for ``leave`` bytes; returns the file that takes the space."""
    filler = folder / "filler"
    space = os.statvfs(folder)
    with filler.open("wb") as stream:
        try:
            for _ in range((space.f_bavail * space.f_frsize - leave) // 65536 + (leave == 0)):
                stream.write(b"x" * 65536)
                stream.flush()
        except OSError:  # the last bytes are taken below
            pass
    if leave == 0:
        with filler.open("ab", buffering=0) as stream:
            try:
                while stream.write(b"x" * 4096):
                    pass
            except OSError:
                pass
    return filler


# --- what keeps it from starting ----------------------------------------------------------------------------------


@root_only
def test_a_state_folder_without_permission_is_named_and_left_as_it_was(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, NOBODY, NOBODY)
    said = refused(state, wrapper=WITHOUT_CAPABILITIES)
    assert said == f"volumed: --state: cannot use {state}/volumed.lock: Permission denied"
    assert refused(state / "below", wrapper=WITHOUT_CAPABILITIES).endswith(f"{state}/below: Permission denied")
    assert list(state.iterdir()) == []


@root_only
def test_whatever_in_the_state_folder_has_no_permission_is_named() -> None:
    with forked_daemon(CONFIGURATION) as daemon:
        daemon.stop()
        before = sorted(daemon.state.rglob("*"))
        for name in ("host", "volumed.db", "volumed.conf", "locks", "volumed.lock"):
            theirs = daemon.state / name
            mode = theirs.stat().st_mode
            os.chown(theirs, NOBODY, NOBODY)
            theirs.chmod(0o700 if theirs.is_dir() else 0o600)
            said = refused(daemon.state, wrapper=WITHOUT_CAPABILITIES)
            assert name in said
            assert re.search("Permission denied|unable to open database file", said)
            os.chown(theirs, 0, 0)
            theirs.chmod(mode)
        assert sorted(daemon.state.rglob("*")) == before


@pytest.mark.parametrize("content", [b"this is no database" * 100, bytes(range(256)) * 20])
def test_a_database_that_is_none_is_named_and_left_as_it_was(tmp_path: Path, content: bytes) -> None:
    database = tmp_path / "volumed.db"
    database.write_bytes(content)
    assert "file is not a database" in refused(tmp_path)
    assert database.read_bytes() == content


def test_a_crash_point_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLUMED_CRASH_POINT", "file.create.after:often")
    assert "VOLUMED_CRASH_POINT: 'file.create.after:often' is neither" in refused(tmp_path / "state")


# --- what keeps a backend from starting -----------------------------------------------------------------------------


@root_only
def test_without_tgtd_the_api_serves_says_which_package_and_goes_on_when_it_is_installed() -> None:
    with running_daemon(wrapper=HIDDEN) as daemon, daemon.session() as rest:
        volume_id = rest.create_volume()["id"]
        wait_for_state(daemon, rest, "down", "apt-get install tgt")
        assert "apt-get install tgt" in command(daemon, "services")
        assert rest.get(f"/volumes/{volume_id}").json()["volume"]["status"] == "creating"
        uncover_tgtd(daemon)
        rest.wait_for_status(f"/volumes/{volume_id}", "available", PATIENCE)
        wait_for_state(daemon, rest, "up")
        rest.attach(volume_id)
        assert Outside(daemon).differences() == []


@root_only
def test_tgtd_lost_and_not_to_be_started_is_told_and_restored_when_it_can_be() -> None:
    with running_daemon(wrapper=NAMESPACE) as daemon, daemon.session() as rest:
        attachment = rest.attach(rest.make_volume())
        in_namespace(daemon, "mount", "--bind", "/dev/null", TGTD)
        for process in daemon.processes():
            if process.name() == "tgtd":
                process.kill()
        wait_for_state(daemon, rest, "down", "apt-get install tgt")
        assert daemon.output().count("apt-get install tgt") <= 2
        assert "Traceback" not in daemon.output()
        uncover_tgtd(daemon)
        wait_for_state(daemon, rest, "up")
        assert Outside(daemon).targets() == {attachment["volume_id"]}
        assert Outside(daemon).differences() == []


def in_namespace(daemon: Daemon, *arguments: str) -> None:
    enter = ["nsenter", "--mount", f"--target={daemon.pid}", *arguments]
    subprocess.run(enter, check=True, capture_output=True, timeout=20)


def uncover_tgtd(daemon: Daemon) -> None:
    in_namespace(daemon, "umount", TGTD)


def test_a_taken_target_port_is_named_and_taken_when_it_is_free() -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with forked_daemon(CONFIGURATION + f"[file]\ntarget_port = {port}\n") as daemon, daemon.session() as rest:
            why = wait_for_state(daemon, rest, "down", "Address already in use")
            assert f"127.0.0.1:{port}" in why
            assert "[file] target_ip_address, target_port" in why
            stranger.close()
            wait_for_state(daemon, rest, "up")
            attachment = rest.attach(rest.make_volume())
            assert attachment["connection_info"]["target_portal"] == f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("address", "why"), [("192.0.2.1", "Cannot assign requested address"), ("no.such.invalid", "not known")]
)
def test_a_target_address_that_is_not_this_machines_is_named(address: str, why: str) -> None:
    with forked_daemon(f"[file]\ntarget_ip_address = {address}\n") as daemon, daemon.session() as rest:
        assert f"cannot listen on {address} ([file] target_ip_address)" in wait_for_state(daemon, rest, "down", why)


# --- full disks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_pool(small: Path) -> Iterator[tuple[ForkedDaemon, Outside]]:
    """A daemon with its pool on a small file system."""
    pool = small / "pool"
    reports = "[DEFAULT]\ncapability_interval = 0.5\n"
    options = f"{reports}[file]\nfile_pool_path = {pool}\nmax_over_subscription_ratio = 10000\n"
    with forked_daemon(CONFIGURATION + options) as daemon:
        outside = Outside(daemon)
        outside.pool = pool
        outside.pools = {"file": pool}
        yield daemon, outside


def wait_until_told(rest: Session, mebibytes: int) -> None:
    """Wait until the scheduler knows of so much free space: a create is judged by the backend's last report."""
    deadline = time.monotonic() + PATIENCE
    while True:
        (pool,) = rest.get("/scheduler-stats/get_pools", params={"detail": "true"}).json()["pools"]
        if pool["capabilities"]["free_capacity_gb"] * 1024 >= mebibytes:
            return
        assert time.monotonic() < deadline, pool
        time.sleep(0.05)


def volume_with_data(rest: Session, outside: Outside, mebibytes: int) -> tuple[str, bytes]:
    volume_id, data = rest.make_volume(), os.urandom(mebibytes * MIB)
    with outside.data_of(volume_id).open("r+b") as stream:
        stream.write(data)
    return volume_id, data


def has_data(outside: Outside, volume_id: str, data: bytes) -> bool:
    with outside.data_of(volume_id).open("rb") as stream:
        return stream.read(len(data)) == data


def wait_for_error(rest: Session, volume_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while (volume := rest.get(f"/volumes/{volume_id}").json()["volume"])["status"] != "error":
        assert time.monotonic() < deadline, volume
        time.sleep(0.05)
    return dict(volume)


def reason_of(rest: Session, volume_id: str) -> str:
    """Why the volume's create failed, as the API tells it."""
    found = rest.get("/operations", params={"resource_id": volume_id}).json()["operations"]
    return str(next(each for each in found if each["kind"] == "volume.create")["error"])


@pytest.mark.part("mkfs.ext4")
def test_a_pool_that_fills_up_in_the_middle_of_a_clone_fails_it_cleanly(
    small_pool: tuple[ForkedDaemon, Outside],
) -> None:
    daemon, outside = small_pool
    with daemon.session() as rest:
        source, data = volume_with_data(rest, outside, 16)
        with daemon.trap.holding("file.copy.opened") as held:
            clone = rest.create_volume(source_volid=source)["id"]
            held.wait()
            filler = fill(outside.pool.parent, leave=4 * MIB)
        wait_for_error(rest, clone)
        assert re.search("cannot hold .*No space left on device", reason_of(rest, clone))
        assert outside.files() == {f"volume-{source}"}
        assert outside.differences() == []
        assert has_data(outside, source, data)
        filler.unlink()
        wait_until_told(rest, 16)
        again = rest.make_volume(source_volid=source)
        assert has_data(outside, again, data)
        for volume_id in (clone, again, source):
            rest.delete(f"/volumes/{volume_id}").raise_for_status()
            rest.wait_until_gone(f"/volumes/{volume_id}")
        assert outside.differences() == []


@pytest.mark.part("mkfs.ext4")
def test_a_pool_that_is_full_before_a_clone_begins_says_how_much_is_missing(
    small_pool: tuple[ForkedDaemon, Outside],
) -> None:
    daemon, outside = small_pool
    with daemon.session() as rest:
        source, _ = volume_with_data(rest, outside, 16)
        fill(outside.pool.parent, leave=8 * MIB)
        clone = rest.create_volume(source_volid=source)["id"]
        wait_for_error(rest, clone)
        assert re.search(r"the copy needs \d+ bytes and .* has \d+ free", reason_of(rest, clone))
        assert outside.files() == {f"volume-{source}"}
        assert outside.differences() == []


@pytest.mark.part("mkfs.ext4")
def test_a_pool_that_is_read_only_says_so_and_serves_again_when_it_is_not(
    small_pool: tuple[ForkedDaemon, Outside],
) -> None:
    daemon, outside = small_pool
    with daemon.session() as rest:
        source, data = volume_with_data(rest, outside, 1)
        with read_only(outside.pool.parent):
            refused_ones = [rest.create_volume(source_volid=source)["id"], rest.create_volume()["id"]]
            for volume_id in refused_ones:
                wait_for_error(rest, volume_id)
                assert "Read-only file system" in reason_of(rest, volume_id)
            assert rest.get(f"/volumes/{source}").json()["volume"]["status"] == "available"
            assert outside.differences() == []
        assert has_data(outside, rest.make_volume(source_volid=source), data)
        for volume_id in refused_ones:
            rest.delete(f"/volumes/{volume_id}").raise_for_status()
            rest.wait_until_gone(f"/volumes/{volume_id}")
        assert outside.differences() == []


@pytest.mark.part("mkfs.ext4")
def test_a_delete_on_a_read_only_pool_ends_in_a_status_that_can_be_deleted_later(
    small_pool: tuple[ForkedDaemon, Outside],
) -> None:
    daemon, outside = small_pool
    with daemon.session() as rest:
        volume_id = rest.make_volume()
        with read_only(outside.pool.parent):
            rest.delete(f"/volumes/{volume_id}").raise_for_status()
            wait_for(lambda: rest.get(f"/volumes/{volume_id}").json()["volume"]["status"] == "error_deleting", daemon)
        rest.delete(f"/volumes/{volume_id}").raise_for_status()
        rest.wait_until_gone(f"/volumes/{volume_id}")
        assert outside.differences() == []


@contextmanager
def read_only(mount_point: Path) -> Iterator[None]:
    """Remounted read-only, as a file system does by itself after an error of its disk."""
    remount = ["mount", "-o", "remount,ro", str(mount_point)]
    subprocess.run(remount, check=True, capture_output=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(mount_point)], check=True, capture_output=True, timeout=20)


@pytest.mark.part("mkfs.ext4")
def test_a_full_disk_under_the_database_is_503_and_what_was_accepted_ends_when_there_is_room(
    small: Path, folder: Path
) -> None:
    pool = folder / "pool"
    configuration = CONFIGURATION + f"[file]\nfile_pool_path = {pool}\n"
    with forked_daemon(configuration, state=small / "state") as daemon, daemon.session() as rest:
        outside = Outside(daemon, {"file": pool})
        outside.pool = pool
        volume_id = rest.make_volume()
        with daemon.trap.holding("file.create.before") as held:
            accepted = rest.create_volume()["id"]
            held.wait()
            filler = fill(small)
            answer = use_up(rest)
        assert answer.headers["Retry-After"].isdigit()
        assert "database" in answer.json()["serviceUnavailable"]["message"]
        assert rest.get(f"/volumes/{volume_id}").status_code == 200
        wait_for(lambda: "waits for the database" in daemon.output(), daemon)
        filler.unlink()
        rest.wait_for_status(f"/volumes/{accepted}", "available")
        rest.delete(f"/volumes/{rest.make_volume()}").raise_for_status()
        wait_for(lambda: outside.differences() == [], daemon)


def use_up(rest: Session) -> Any:
    """Write until the database has no room left for one more change; returns that answer."""
    for _ in range(200):
        answer = rest.post("/volumes", json={"volume": {"size": 1, "description": "x" * 200}})
        if answer.status_code not in (202, 413):
            assert answer.status_code == 503, answer.text
            return answer
    raise AssertionError("the disk never was full")


@pytest.mark.part("mkfs.ext4")
def test_a_start_on_a_full_disk_is_refused_in_one_sentence_and_works_when_there_is_room(small: Path) -> None:
    state = small / "state"
    filler = fill(small)
    assert "No space left on device" in refused(state) or "disk is full" in refused(state)
    filler.unlink()
    with forked_daemon(CONFIGURATION, state=state) as daemon, daemon.session() as rest:
        rest.make_volume()
    # Asked this way, a process that ends meanwhile has no name.
    daemons = [each for each in psutil.process_iter(["name"]) if each.info["name"] == "tgtd"]
    assert not [process for process in daemons if str(small) in cwd(process)]
    shutil.rmtree(state)


def cwd(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""

"""LIO on a real kernel: its helper, what goes wrong beside it, and what initiators see of it."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab import libiscsi
from tests.lab.file_backend import FileBackend
from tests.lab.libiscsi import InitiatorError, NamedIscsi, Session
from volumed.driver.errors import BackendBusy, BackendInvalid, BackendUnreachable, OutcomeUnknown
from volumed.driver.exported import is_as_wanted
from volumed.driver.interface import Access, Owner, VolumeRef
from volumed.model import crash_points, held_lock
from volumed.model.credentials import new_credentials
from volumed_drivers.file.driver import FileDriver

pytestmark = pytest.mark.guest

TARGETS = Path("/sys/kernel/config/target/iscsi")
GIB = 1024**3
SECRET = new_credentials()["password"]

DATA = NamedIscsi()
VOLUME = VolumeRef("0f6f2a4e-8a4a-4b8a-9d0a-6c6a7a1b2c3d", 1, "pool")
NAME = f"iqn.2010-10.org.openstack:volume-{VOLUME.id}"
GROUP = TARGETS / NAME / "tpgt_1"

#: Seconds for what takes a moment, on a busy machine.
PATIENCE = 30.0


def access(user: str, read_only: bool = False, password: str = SECRET) -> Access:
    return Access(user, DATA.initiator(user), read_only, user, password)


FIRST, SECOND = access("first"), access("second")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> FileBackend:
    options = {"target_port": 3260, "iscsi_secondary_ip_addresses": ["127.0.0.2", "::1"]}
    return FileBackend(tmp_path_factory.mktemp("lio"), "lio", DATA, options=options)


@pytest.fixture
def driver(backend: FileBackend) -> Iterator[FileDriver]:
    driver = backend.driver()
    driver.do_setup()
    driver.create(VOLUME)
    yield driver
    driver.remove_export(VOLUME, force=True)
    driver.delete(VOLUME)
    assert not driver.audit()
    assert not GROUP.exists()


def login(driver: FileDriver, who: Access, portal: str | None = None, volume: VolumeRef = VOLUME) -> Any:
    info = driver.connection_info(volume, who)
    return DATA.session(info if portal is None else info | {"data": info["data"] | {"target_portal": portal}})


def gets_in(driver: FileDriver, who: Access) -> bool:
    try:
        with login(driver, who) as session:
            return session.size() > 0
    except InitiatorError:
        return False


def helpers(backend: FileBackend) -> list[int]:
    """Process ids of the helpers of the backend's socket."""
    found = subprocess.run(
        ["pgrep", "-f", f"lio.helper .*{backend.folder}/lio.sock"], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


def wait_for(condition: Any, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.02)


# --- who is let in, and how ---------------------------------------------------------------------------------------


def test_an_initiator_finds_the_disk_at_each_portal_with_the_volumes_id_as_its_serial_number(
    driver: FileDriver,
) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    data = driver.connection_info(VOLUME, FIRST)["data"]
    assert data["target_portals"] == ["127.0.0.1:3260", "127.0.0.2:3260", "[::1]:3260"]
    assert (data["target_iqns"], data["target_luns"]) == ([NAME] * 3, [data["target_lun"]] * 3)
    for portal in data["target_portals"]:
        with login(driver, FIRST, portal) as session:
            assert session.serial_number() == VOLUME.id


def test_two_initiators_have_their_own_secret_and_mode_and_others_nothing(driver: FileDriver) -> None:
    reader = access("reader", read_only=True, password=new_credentials()["password"])
    driver.ensure_export(VOLUME, [FIRST, reader])
    with login(driver, FIRST) as writing, login(driver, reader) as reading:
        writing.write_pattern(7, 0, 4096)
        assert reading.has_pattern(7, 0, 4096)
        with pytest.raises(InitiatorError):
            reading.write_pattern(8, 0, 4096)
        assert set(driver.exports()[VOLUME.id].sessions) == {FIRST.initiator, reader.initiator}
    assert not gets_in(driver, replace(reader, password=FIRST.password))
    assert not gets_in(driver, SECOND)


def test_an_access_without_a_name_is_refused_and_so_is_a_second_secret_for_one_name(driver: FileDriver) -> None:
    with pytest.raises(BackendInvalid, match="no initiator"):
        driver.ensure_export(VOLUME, [replace(FIRST, initiator=None)])
    with pytest.raises(BackendInvalid, match="one secret for an initiator"):
        driver.ensure_export(VOLUME, [FIRST, replace(SECOND, initiator=FIRST.initiator)])


def test_a_name_in_capitals_is_the_same_name(driver: FileDriver) -> None:
    shouting = replace(FIRST, initiator=(FIRST.initiator or "").replace("first", "FIRST"))
    driver.ensure_export(VOLUME, [shouting])
    assert gets_in(driver, FIRST)
    assert is_as_wanted(driver.exports()[VOLUME.id], [shouting])


def test_without_chap_the_name_is_enough(backend: FileBackend, driver: FileDriver) -> None:
    trusting = replace(backend, options=backend.options | {"use_chap_auth": False}).driver()
    trusting.do_setup()
    trusting.ensure_export(VOLUME, [FIRST])
    portal, name = "127.0.0.1:3260", FIRST.initiator or ""
    with libiscsi.session(portal, NAME, 1, name, None, None) as session:
        assert session.size() == GIB
    driver.ensure_export(VOLUME, [FIRST])
    with pytest.raises(InitiatorError), libiscsi.session(portal, NAME, 1, name, None, None):
        pass


def test_a_session_sees_the_new_size(driver: FileDriver) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    with login(driver, FIRST) as session:
        driver.extend(VOLUME, 2)
        driver.ensure_export(replace(VOLUME, size=2), [FIRST])
        assert session.size() == 2 * GIB
        assert session.has_pattern(0, 2 * GIB - 4096, 4096)


# --- detach -------------------------------------------------------------------------------------------------------


def test_a_live_session_is_cut_only_with_force_and_else_named_and_its_io_goes_on(driver: FileDriver) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    with login(driver, FIRST) as session:
        with writing(session) as done:
            with pytest.raises(BackendBusy, match=FIRST.initiator):
                driver.remove_export(VOLUME)
            with pytest.raises(BackendBusy, match=FIRST.initiator):
                driver.ensure_export(VOLUME, [SECOND])
            before = len(done)
            wait_for(lambda: len(done) > before + 20)
        assert gets_in(driver, SECOND), "who comes does not wait for who goes"
        driver.remove_export(VOLUME, force=True)
        with pytest.raises(InitiatorError):
            session.write_pattern(1, 0, 4096)
    driver.remove_export(VOLUME)
    assert VOLUME.id not in driver.exports()


def test_of_two_live_sessions_only_the_one_that_loses_its_access_is_cut_by_force(driver: FileDriver) -> None:
    driver.ensure_export(VOLUME, [FIRST, SECOND])
    with login(driver, FIRST) as going, login(driver, SECOND) as staying:
        driver.ensure_export(VOLUME, [SECOND], force=True)
        with pytest.raises(InitiatorError):
            going.write_pattern(1, 0, 4096)
        staying.write_pattern(2, 0, 4096)
        assert staying.has_pattern(2, 0, 4096)
        assert driver.exports()[VOLUME.id].sessions == (SECOND.initiator,)
    assert not gets_in(driver, FIRST)


def test_two_attachments_of_one_host_share_a_session_that_may_write_where_one_of_them_may(driver: FileDriver) -> None:
    reader = replace(FIRST, attachment_id="reader", read_only=True)
    driver.ensure_export(VOLUME, [reader, FIRST])
    with login(driver, FIRST) as session:
        session.write_pattern(3, 0, 4096)
        driver.ensure_export(VOLUME, [reader])
        with pytest.raises(InitiatorError):
            session.write_pattern(4, 0, 4096)
        assert session.has_pattern(3, 0, 4096)
        assert is_as_wanted(driver.exports()[VOLUME.id], [reader])


def test_a_detach_that_meets_the_end_of_a_session_waits_for_it(driver: FileDriver) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    with login(driver, FIRST) as session:
        assert session.size() == GIB
    driver.remove_export(VOLUME)


def test_an_initiator_that_never_came_leaves_without_a_trace(driver: FileDriver) -> None:
    driver.ensure_export(VOLUME, [FIRST, SECOND])
    with login(driver, FIRST) as session:
        driver.ensure_export(VOLUME, [FIRST])
        driver.ensure_export(VOLUME, [FIRST])
        assert driver.exports()[VOLUME.id].initiators == {FIRST.initiator}
        assert session.has_pattern(0, 0, 4096)


@contextmanager
def writing(session: Session) -> Iterator[list[int]]:
    """Write and read back all the while; an error in it is raised at the end."""
    done: list[int] = []
    stop = threading.Event()
    trouble: list[BaseException] = []

    def go_on() -> None:
        try:
            while not stop.is_set():
                value = len(done) % 250
                session.write_pattern(value, 65536, 16384)
                assert session.has_pattern(value, 65536, 16384)
                done.append(value)
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()
    assert not trouble, trouble


def test_io_goes_on_while_the_service_and_the_helper_start_again_and_a_hundred_targets_come_and_go(
    backend: FileBackend, driver: FileDriver
) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    others = [VolumeRef(f"other-{number}", 1, "pool") for number in range(100)]
    with login(driver, FIRST) as session, writing(session) as done:
        for number, other in enumerate(others):
            driver.create(other)
            driver.ensure_export(other, [SECOND])
            if number == 50:
                (helper,) = helpers(backend)
                os.kill(helper, signal.SIGKILL)
                driver.close()
                driver = backend.driver()
                driver.do_setup()
                driver.ensure_export(VOLUME, [FIRST])
        for other in others:
            driver.remove_export(other)
            driver.delete(other)
        before = len(done)
        wait_for(lambda: len(done) > before + 20)


# --- what goes wrong beside us ------------------------------------------------------------------------------------


def removed_acl() -> None:
    acl = GROUP / "acls" / (FIRST.initiator or "")
    (acl / "lun_1/lun").unlink()
    (acl / "lun_1").rmdir()
    acl.rmdir()


def removed_lun() -> None:
    (GROUP / "acls" / (FIRST.initiator or "") / "lun_1/lun").unlink()
    (next(path for path in (GROUP / "lun/lun_1").iterdir() if path.is_symlink())).unlink()


DAMAGES = {
    "acl": removed_acl,
    "mapped disk": lambda: (GROUP / "acls" / (FIRST.initiator or "") / "lun_1/lun").unlink(),
    "lun": removed_lun,
    "portal": lambda: (GROUP / "np/127.0.0.2:3260").rmdir(),
    "enabled": lambda: (GROUP / "enable").write_text("0"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_entry_that_somebody_removed_is_seen_and_made_again(driver: FileDriver, damage: str) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    assert is_as_wanted(driver.exports()[VOLUME.id], [FIRST])
    DAMAGES[damage]()
    assert not is_as_wanted(driver.exports()[VOLUME.id], [FIRST])
    driver.ensure_export(VOLUME, [FIRST])
    assert is_as_wanted(driver.exports()[VOLUME.id], [FIRST])
    with login(driver, FIRST, "127.0.0.2:3260") as session:
        assert session.has_pattern(0, 0, 4096)


def test_a_target_that_somebody_removed_is_missed_by_the_health_check(driver: FileDriver) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    assert not driver.check_health()
    remove_by_hand()
    assert driver.check_health()
    assert driver.check_health(), "true until the exports were read"
    assert driver.exports()[VOLUME.id].path is None
    assert not driver.check_health()
    driver.ensure_export(VOLUME, [FIRST])
    assert gets_in(driver, FIRST)


def remove_by_hand() -> None:
    removed_lun()
    removed_acl_folders = GROUP / "acls" / (FIRST.initiator or "")
    (removed_acl_folders / "lun_1").rmdir()
    removed_acl_folders.rmdir()
    (GROUP / "lun/lun_1").rmdir()
    for portal in (GROUP / "np").iterdir():
        portal.rmdir()
    GROUP.rmdir()
    GROUP.parent.rmdir()


def test_a_strangers_target_with_our_name_is_left_alone_and_named(backend: FileBackend, driver: FileDriver) -> None:
    """Here the stranger is another backend of the node, which has the same prefix as all of them."""
    stranger = replace(backend, folder=backend.folder / "stranger", owner=Owner("test-deployment", "other")).driver()
    stranger.do_setup()
    stranger.create(VOLUME)
    stranger.ensure_export(VOLUME, [SECOND])
    before = {path.name for path in GROUP.glob("acls/*")}
    with login(stranger, SECOND) as session:
        with pytest.raises(BackendInvalid, match=NAME):
            driver.ensure_export(VOLUME, [FIRST])
        assert VOLUME.id not in driver.exports()
        assert driver.sessions(VOLUME.id) == () if hasattr(driver, "sessions") else True
        driver.remove_export(VOLUME, force=True)
        assert {path.name for path in GROUP.glob("acls/*")} == before
        assert session.has_pattern(0, 0, 4096)
    stranger.remove_export(VOLUME)
    driver.ensure_export(VOLUME, [FIRST])
    assert gets_in(driver, FIRST)


def test_a_portal_whose_address_the_node_does_not_have_works_from_when_it_has_it(backend: FileBackend) -> None:
    options = backend.options | {"target_ip_address": "10.98.0.1"}
    driver = replace(backend, options=options).driver()
    driver.do_setup()
    driver.create(VOLUME)
    driver.ensure_export(VOLUME, [FIRST])
    assert is_as_wanted(driver.exports()[VOLUME.id], [FIRST])
    subprocess.run(["ip", "address", "add", "10.98.0.1/32", "dev", "lo"], check=True)
    try:
        with login(driver, FIRST) as session:
            assert session.size() == GIB
        driver.remove_export(VOLUME)
    finally:
        subprocess.run(["ip", "address", "del", "10.98.0.1/32", "dev", "lo"], check=True)
    driver.delete(VOLUME)


def test_a_port_that_another_program_has_is_named_and_the_export_is_made_when_it_is_free(backend: FileBackend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        driver = replace(backend, options=backend.options | {"target_port": port}).driver()
        driver.do_setup()
        driver.create(VOLUME)
        with pytest.raises(BackendUnreachable, match=f"cannot listen on 127.0.0.1:{port}.*target_port"):
            driver.ensure_export(VOLUME, [FIRST])
    driver.ensure_export(VOLUME, [FIRST])
    assert gets_in(driver, FIRST)
    driver.remove_export(VOLUME)
    driver.delete(VOLUME)


# --- the helper ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["lio.write.before:1", "lio.link.before:2", "lio.applied"])
def test_a_helper_that_dies_in_the_middle_is_an_unknown_outcome_and_the_repeat_finishes(
    backend: FileBackend, driver: FileDriver, point: str
) -> None:
    doomed = replace(backend, options=backend.options | {"lio_helper_socket": str(backend.folder / "doomed.sock")})
    with running_helper(doomed, {"VOLUMED_CRASH_POINT": point}):
        with pytest.raises(OutcomeUnknown) as refusal:
            doomed.driver().ensure_export(VOLUME, [FIRST])
    assert SECRET not in str(refusal.value)
    driver.ensure_export(VOLUME, [FIRST])
    assert is_as_wanted(driver.exports()[VOLUME.id], [FIRST])
    assert gets_in(driver, FIRST)


@contextmanager
def running_helper(backend: FileBackend, environment: Mapping[str, str]) -> Iterator[None]:
    path = Path(backend.setup().options.lio_helper_socket)
    words = ["--socket", str(path), "--path", f"{backend.folder}/"]
    process = subprocess.Popen(
        [sys.executable, "-m", "volumed_drivers.targets.lio.helper", *words], env=os.environ | dict(environment)
    )
    try:
        wait_for(path.is_socket)
        yield
    finally:
        process.kill()
        process.wait()
        path.unlink()


def test_the_callers_lock_is_held_until_its_request_has_ended_though_the_caller_died(
    backend: FileBackend, driver: FileDriver, tmp_path: Path
) -> None:
    driver.ensure_export(VOLUME, [])
    (helper,) = helpers(backend)
    os.kill(helper, signal.SIGSTOP)
    try:
        child = os.fork()
        if child == 0:
            ask_with_lock(backend, tmp_path / "lock", tmp_path / "sent")
        wait_for((tmp_path / "sent").exists)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert is_locked(tmp_path / "lock")
    finally:
        os.kill(helper, signal.SIGCONT)
    wait_for(lambda: not is_locked(tmp_path / "lock"))
    assert is_as_wanted(driver.exports()[VOLUME.id], [FIRST])


def ask_with_lock(backend: FileBackend, path: Path, sent: Path) -> None:
    """Never returns; makes ``sent`` when the request is on its way."""
    crash_points.watch(lambda point: sent.touch() if point == "lio.ask.sent" else None)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with held_lock.holding(descriptor):
            backend.driver().ensure_export(VOLUME, [FIRST])
    finally:
        os._exit(1)


def is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_the_helper_holds_one_capability_and_answers_root_only(backend: FileBackend, driver: FileDriver) -> None:
    (helper,) = helpers(backend)
    status = Path(f"/proc/{helper}/status").read_text()
    held = {line.split()[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")}
    assert {held["CapPrm:"], held["CapEff:"], held["CapBnd:"]} == {1 << 21}, "CAP_SYS_ADMIN"
    assert held["CapInh:"] == held["CapAmb:"] == 0
    driver.ensure_export(VOLUME, [FIRST])
    backend.folder.parent.chmod(0o755)
    for folder in (backend.folder, *list(backend.folder.parents)[:2]):
        folder.chmod(0o755)
    (backend.folder / "lio.sock").chmod(0o666)
    child = os.fork()
    if child == 0:
        os._exit(ask_as_nobody(backend))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert is_as_wanted(driver.exports()[VOLUME.id], [FIRST])


def ask_as_nobody(backend: FileBackend) -> int:
    """The exit status: 0 when no answer came."""
    try:
        target = backend.driver()._target
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        target.remove(VOLUME.id, force=True)
    except OutcomeUnknown:
        return 0
    except BaseException as error:
        print(repr(error), flush=True)
    return 1


@pytest.mark.parametrize("path", ["/etc/passwd", "/dev/../etc/passwd", "/dev/null"])
def test_what_the_helper_may_not_export_it_refuses(backend: FileBackend, driver: FileDriver, path: str) -> None:
    from volumed.driver.interface import Export

    target: Any = driver._target
    with pytest.raises(BackendInvalid):
        target.apply(Export(VOLUME.id, path, GIB, (FIRST,)))


def test_a_link_to_another_file_is_not_followed(driver: FileDriver, backend: FileBackend) -> None:
    from volumed.driver.interface import Export

    victim, link = backend.folder / "victim", backend.folder / "link"
    victim.write_bytes(b"private" * 1000)
    link.symlink_to(victim)
    target: Any = driver._target
    with pytest.raises(BackendUnreachable):
        target.apply(Export(VOLUME.id, str(link), GIB, (FIRST,)))


def test_a_secret_is_in_no_argument_list_and_in_nothing_that_everybody_can_read(driver: FileDriver) -> None:
    driver.ensure_export(VOLUME, [FIRST])
    found = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "grep", "-rslf", "-", str(GROUP)],
        input=SECRET,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
    assert (GROUP / "acls" / (FIRST.initiator or "") / "auth/password").stat().st_mode & 0o077 == 0
    arguments = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not any(SECRET.encode() in each for each in arguments)


@pytest.mark.part("systemd-analyze")
def test_a_socket_that_systemd_listens_on_starts_the_helper_and_starts_it_again(
    backend: FileBackend, driver: FileDriver
) -> None:
    path = backend.folder / "unit.sock"
    activated = replace(backend, options=backend.options | {"lio_helper_socket": str(path)}).driver()
    helper = [sys.executable, "-m", "volumed_drivers.targets.lio.helper", "--path", f"{backend.folder}/"]
    environment = [word for name in ("PYTHONPATH", "PATH") for word in ("-E", name)]
    for _ in range(2):
        listener = subprocess.Popen(["systemd-socket-activate", *environment, "-l", str(path), *helper])
        try:
            wait_for(path.is_socket)
            activated.ensure_export(VOLUME, [FIRST])
            assert activated.exports()[VOLUME.id].usernames == {FIRST.username}
        finally:
            listener.kill()  # it has become the helper
            listener.wait()
            path.unlink()

"""Ctrl-C, ``kill -9`` and starting again: work goes on, sessions stay, and only what differs is touched."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest

from tests.lab import initiator
from tests.lab.daemon import PATIENCE, Daemon, Session, running_daemon
from tests.lab.initiator import Connection
from tests.lab.nursery import ForkedDaemon, forked_daemon
from tests.lab.outside import Outside

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.part("qemu-io")]

#: Little patience with work that is held on purpose, and no long naps.
CONFIGURATION = """
[DEFAULT]
graceful_shutdown_timeout = 1
periodic_fuzzy_delay = 0
[operations]
sweep_interval = 0.5
"""

INITIATOR = "iqn.1993-08.org.debian:01:lifecycle"
KIB = 1024


@pytest.fixture
def daemon() -> Iterator[ForkedDaemon]:
    with forked_daemon(CONFIGURATION) as daemon:
        yield daemon


@pytest.fixture
def outside(daemon: ForkedDaemon) -> Outside:
    return Outside(daemon)


def tgtd_of(daemon: Daemon) -> int:
    """The process id of the one tgtd in the state folder."""
    (found,) = [process.pid for process in daemon.processes() if process.name() == "tgtd"]
    return found


def tgtadm(daemon: Daemon, *arguments: str) -> str:
    """What an operator does by hand to the daemon's tgtd."""
    (control,) = daemon.state.glob("tgt/**/control.0")
    environment = {**os.environ, "TGT_IPC_SOCKET": str(control.with_suffix(""))}
    command = ["tgtadm", "--lld", "iscsi", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=True).stdout


def target_numbers(daemon: Daemon) -> dict[str, int]:
    """Target numbers by volume: a target that is made again has another one, or lost its session."""
    found = re.findall(r"^Target (\d+): \S*volume-(\S+)$", tgtadm(daemon, "--mode", "target", "--op", "show"), re.M)
    return {volume: int(number) for number, volume in found}


def wait_for(condition: Callable[[], bool], daemon: Daemon, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, daemon.output()
        time.sleep(0.05)


def connection_to(attachment: dict[str, object]) -> Connection:
    info = {"data": attachment["connection_info"]}
    return Connection.of(info, INITIATOR)  # type: ignore[arg-type]


def interrupt(daemon: Daemon) -> None:
    os.kill(daemon.pid, signal.SIGINT)


@contextmanager
def writing_and_reading(session: initiator.Session) -> Iterator[list[int]]:
    """A session that is at work all the time; yields what it wrote and read back so far. Its trouble is raised."""
    done: list[int] = []
    trouble: list[Exception] = []
    enough = threading.Event()

    def work() -> None:
        try:
            while not enough.is_set():
                pattern = len(done) % 255 + 1
                session.write_pattern(pattern, len(done) % 64 * 64 * KIB, 64 * KIB)
                assert session.has_pattern(pattern, len(done) % 64 * 64 * KIB, 64 * KIB)
                done.append(pattern)
                time.sleep(0.005)
        except Exception as error:
            trouble.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield done
    finally:
        enough.set()
        worker.join()
    if trouble:
        raise trouble[0]


@pytest.mark.embedded_only("it is about the signals of the one process; fleet/test_services.py has the services")
def test_ctrl_c_lets_what_runs_end_and_takes_tgtd_along(daemon: ForkedDaemon, outside: Outside) -> None:
    with daemon.session() as rest, daemon.trap.holding("file.create.before") as held:
        volume_id = rest.create_volume()["id"]
        held.wait()
        interrupt(daemon)
        held.release()
        assert daemon.wait_for_end() == 0
    assert daemon.processes() == []
    assert outside.rows("SELECT id, status FROM volumes") == [{"id": volume_id, "status": "available"}]
    assert outside.differences() == []


@pytest.mark.embedded_only("it is about the signals of the one process; fleet/test_services.py has the services")
def test_what_does_not_end_in_time_is_resumed_by_the_next_start(daemon: ForkedDaemon, outside: Outside) -> None:
    with daemon.session() as rest, daemon.trap.holding("file.create.before") as held:
        volume_id = rest.create_volume()["id"]
        held.wait()
        interrupt(daemon)
        assert daemon.wait_for_end() == 0
        assert "stops with work under way; the next start goes on with it" in daemon.output()
    daemon.start()
    with daemon.session() as rest:
        rest.wait_for_status(f"/volumes/{volume_id}", "available")
    assert outside.differences() == []


@pytest.mark.embedded_only("it is about the signals of the one process; fleet/test_services.py has the services")
def test_a_second_signal_ends_it_at_once_and_loses_nothing(daemon: ForkedDaemon, outside: Outside) -> None:
    with daemon.session() as rest, daemon.trap.holding("file.create.before") as held:
        volume_id = rest.create_volume()["id"]
        held.wait()
        tgtd = tgtd_of(daemon)
        interrupt(daemon)
        wait_for(lambda: "stopping" in daemon.output(), daemon)
        interrupt(daemon)
        assert daemon.wait_for_end() == 128 + signal.SIGINT
        assert "stopped at once; the next start resumes what was under way" in daemon.output()
    daemon.start()
    assert tgtd_of(daemon) == tgtd
    with daemon.session() as rest:
        rest.wait_for_status(f"/volumes/{volume_id}", "available")
    assert outside.differences() == []


@pytest.mark.embedded_only("it is about the signals of the one process; fleet/test_services.py has the services")
def test_with_an_initiator_logged_in_tgtd_stays_the_daemon_says_who_and_the_next_start_adopts_it(
    daemon: ForkedDaemon, outside: Outside
) -> None:
    with daemon.session() as rest:
        attachment = rest.attach(rest.make_volume())
        tgtd, numbers = tgtd_of(daemon), target_numbers(daemon)
        with initiator.session(connection_to(attachment)) as session, writing_and_reading(session) as done:
            interrupt(daemon)
            assert daemon.wait_for_end() == 0
            said = next(line for line in daemon.output().splitlines() if "tgtd stays" in line)
            assert INITIATOR in said
            assert attachment["volume_id"] in said
            before = len(done)
            daemon.start()
            wait_for(lambda: len(done) > before + 20, daemon)
            assert (tgtd_of(daemon), target_numbers(daemon)) == (tgtd, numbers)
        rest.delete(f"/attachments/{attachment['id']}").raise_for_status()
    assert outside.differences() == []


def test_after_kill_9_the_next_start_adopts_tgtd_and_applies_only_the_difference(
    daemon: ForkedDaemon, outside: Outside
) -> None:
    with daemon.session() as rest:
        used, lost = (rest.attach(rest.make_volume()) for _ in range(2))
        tgtd, numbers = tgtd_of(daemon), target_numbers(daemon)
        with initiator.session(connection_to(used)) as session, writing_and_reading(session) as done:
            daemon.kill()
            number = str(numbers[lost["volume_id"]])
            tgtadm(daemon, "--mode", "target", "--op", "delete", "--tid", number, "--force")
            nobodys, strangers = "iqn.2010-10.org.openstack:volume-nobodys", "iqn.2001-01.example:strangers"
            for tid, name in (("77", nobodys), ("78", strangers)):
                tgtadm(daemon, "--mode", "target", "--op", "new", "--tid", tid, "--targetname", name)
            before = len(done)
            daemon.start()
            wanted = {used["volume_id"], lost["volume_id"]}
            wait_for(lambda: target_numbers(daemon).keys() == wanted, daemon)
            assert target_numbers(daemon)[used["volume_id"]] == numbers[used["volume_id"]]
            assert strangers in tgtadm(daemon, "--mode", "target", "--op", "show")
            assert tgtd_of(daemon) == tgtd
            wait_for(lambda: len(done) > before + 20, daemon)
        initiator.wait_until_free(connection_to(lost))
        tgtadm(daemon, "--mode", "target", "--op", "delete", "--tid", "78")
    assert outside.differences() == []


def test_an_export_that_lost_its_disk_or_its_acl_by_hand_is_made_whole(daemon: ForkedDaemon, outside: Outside) -> None:
    with daemon.session() as rest:
        diskless, closed = (rest.attach(rest.make_volume(), INITIATOR) for _ in range(2))
        numbers = target_numbers(daemon)
        daemon.kill()
        number = str(numbers[diskless["volume_id"]])
        tgtadm(daemon, "--mode", "logicalunit", "--op", "delete", "--tid", number, "--lun", "1")
        number = str(numbers[closed["volume_id"]])
        tgtadm(daemon, "--mode", "target", "--op", "unbind", "--tid", number, "--initiator-name", INITIATOR)
        daemon.start()
        for attachment in (diskless, closed):
            initiator.wait_until_free(connection_to(attachment))
    assert outside.differences() == []


def test_a_killed_tgtd_is_started_again_and_its_targets_restored_while_the_daemon_runs(
    daemon: ForkedDaemon, outside: Outside
) -> None:
    with daemon.session() as rest:
        attachments = [rest.attach(rest.make_volume()) for _ in range(3)]
        with initiator.session(connection_to(attachments[0])) as session:
            session.write_pattern(7, 0, KIB)
            tgtd = tgtd_of(daemon)
            os.kill(tgtd, signal.SIGKILL)
            wait_for(lambda: outside.targets() == {attachment["volume_id"] for attachment in attachments}, daemon)
            assert tgtd_of(daemon) != tgtd
            assert session.has_pattern(7, 0, KIB)
        attachments.append(rest.attach(rest.make_volume()))
        for attachment in attachments:
            initiator.wait_until_free(connection_to(attachment))
    assert outside.differences() == []


def test_an_attach_right_after_tgtd_was_killed_works(daemon: ForkedDaemon, outside: Outside) -> None:
    with daemon.session() as rest:
        volume_id = rest.make_volume()
        tgtd = psutil.Process(tgtd_of(daemon))
        tgtd.kill()
        initiator.wait_until_free(connection_to(rest.attach(volume_id)))
    assert outside.differences() == []


def test_among_two_hundred_exports_a_restart_touches_only_those_that_differ() -> None:
    configuration = CONFIGURATION + "[file]\nexport_on_create = true\nmax_over_subscription_ratio = 1000\n"
    with forked_daemon(configuration) as daemon, daemon.session() as rest:
        rest.put("/os-quota-sets/admin", json={"quota_set": {"volumes": 300, "gigabytes": 300}}).raise_for_status()
        volumes = make_volumes(daemon, 200)
        attachment = rest.attach(volumes[0])
        numbers = target_numbers(daemon)
        assert numbers.keys() == set(volumes)
        with initiator.session(connection_to(attachment)) as session, writing_and_reading(session) as done:
            daemon.kill()
            for volume_id in volumes[-3:]:
                tgtadm(daemon, "--mode", "target", "--op", "delete", "--tid", str(numbers.pop(volume_id)))
            daemon.start()
            wait_for(lambda: target_numbers(daemon).keys() == set(volumes), daemon)
            assert numbers.items() <= target_numbers(daemon).items()
            assert "3 differed, 3 of them settled" in daemon.output()
            before = len(done)
            wait_for(lambda: len(done) > before + 20, daemon)


def make_volumes(daemon: Daemon, count: int) -> list[str]:
    def make(session: Session) -> str:
        return session.make_volume()

    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(lambda _: make(daemon.session()), range(count)))


@pytest.mark.embedded_only("it waits for the end of the one process")
def test_a_crash_point_ends_the_command_where_the_environment_says() -> None:
    with running_daemon(environment={"VOLUMED_CRASH_POINT": "file.create.after:2"}) as daemon:
        with daemon.session() as rest:
            first = rest.make_volume()
            second = rest.create_volume()["id"]
        assert daemon.wait_for_end() == -signal.SIGKILL
        daemon.environment.clear()
        daemon.start()
        with daemon.session() as rest:
            rest.wait_for_status(f"/volumes/{first}", "available")
            rest.wait_for_status(f"/volumes/{second}", "available")
        assert Outside(daemon).differences() == []

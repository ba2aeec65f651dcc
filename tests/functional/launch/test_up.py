"""``volumed up`` as a command: what it says, what it refuses, how it ends."""

import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.lab.daemon import Daemon, refused, running_daemon

pytestmark = [pytest.mark.embedded_only("it is about volumed up"), pytest.mark.part("tgtd")]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_it_says_in_one_line_where_it_serves_and_the_line_is_true(daemon: Daemon) -> None:
    line = next(line for line in daemon.output().splitlines() if "serves" in line)
    assert daemon.url in line
    assert str(daemon.state) in line
    assert f"VOLUMED_URL={daemon.url} VOLUMED_TOKEN=admin:admin volumed list" in line
    assert requests.get(f"{daemon.url}/v3/volumes", headers={"X-Auth-Token": "admin:admin"}, timeout=5).ok


def test_it_serves_within_two_seconds_below_140_mb_and_sleeps_when_nothing_happens(daemon: Daemon) -> None:
    daemon.stop()
    began = time.monotonic()
    daemon.start()
    assert time.monotonic() - began < 6.0  # three times the figure
    process = psutil.Process(daemon.pid)
    assert process.memory_info().rss < 140 * 1024**2
    time.sleep(1)
    before = sum(process.cpu_times()[:2])
    time.sleep(3)
    assert sum(process.cpu_times()[:2]) - before < 3 * 0.09  # three times 3 % of a core


def test_details_are_logged_where_the_configuration_says_so(daemon: Daemon) -> None:
    assert " DEBUG volumed" not in daemon.output()
    daemon.stop()
    write(daemon.state / "volumed.conf", "[DEFAULT]\ndebug = true\n")
    daemon.start()
    requests.get(f"{daemon.url}/v3/volumes", headers={"X-Auth-Token": "admin:admin"}, timeout=5)
    assert " DEBUG volumed" in daemon.output()


def test_every_service_reports_itself_and_says_down_when_it_stops(daemon: Daemon) -> None:
    daemon.stop()
    with sqlite3.connect(daemon.state / "volumed.db") as database:
        rows = database.execute("SELECT binary, state, report_count > 0 FROM services ORDER BY binary").fetchall()
    database.close()
    assert rows == [("volumed-scheduler", "down", 1), ("volumed-volume", "down", 1)]


def test_a_second_one_on_the_same_folder_is_refused_and_names_the_first(daemon: Daemon) -> None:
    said = refused(daemon.state)
    assert f"pid {daemon.pid}" in said
    assert daemon.url in said
    assert requests.get(f"{daemon.url}/", timeout=5).ok


def test_after_kill_9_the_next_start_just_works(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start()
    assert requests.get(f"{daemon.url}/", timeout=5).ok


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(daemon: Daemon, number: signal.Signals) -> None:
    os.kill(daemon.pid, number)
    assert daemon.wait_for_end() == 0
    assert not daemon.processes()
    assert (daemon.state / "volumed.lock").read_text() == ""


def test_a_taken_port_is_named(state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        assert refused(state, listen=listen) == f"volumed: --listen: cannot listen on {listen}: Address already in use"


def test_it_does_not_believe_everybody_from_everywhere(state: Path) -> None:
    assert "--allow-remote-noauth" in refused(state, listen="0.0.0.0:0")
    assert "--allow-remote-noauth" in refused(state, listen="[::]:0")
    assert "is not HOST:PORT" in refused(state, listen=":0")


def test_a_folder_that_is_no_use_is_named(tmp_path: Path) -> None:
    write(tmp_path / "file", "")
    assert refused(tmp_path / "file" / "state").startswith(f"volumed: --state: cannot use {tmp_path}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[DEFAULT]\nenabled_backend = file\n", "[DEFAULT] enabled_backend: there is no such option; did you mean"),
        ("[apy]\nworkers = 1\n", "[apy]: there is no such group; did you mean api?"),
        ("[file]\nfile_pool = /x\n", "[file] file_pool: there is no such option; did you mean file_pool_path?"),
        ("[api]\nworkers = many\n", "[api] workers: 'many' is not a number from 1 on"),
        ("[file]\nvolume_driver = floppy\n", "volume_driver: 'floppy' is not installed; known are: file"),
        ("[file]\ntarget_helper = floppy\n", "[file] target_helper: 'floppy' is not installed"),
        ("no assignment\n", "No ':' or '=' found in assignment"),
    ],
)
def test_a_wrong_configuration_names_the_file_or_option(state: Path, tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(state, "--config-file", write(tmp_path / "volumed.conf", text))


def test_a_configuration_that_is_not_there_or_not_text_is_named(state: Path, tmp_path: Path) -> None:
    assert f"{tmp_path}/absent: No such file" in refused(state, "--config-file", f"{tmp_path}/absent")
    (tmp_path / "noise").write_bytes(bytes(range(128, 256)))
    assert f"configuration file {tmp_path}/noise" in refused(state, "--config-file", f"{tmp_path}/noise")


def test_a_schema_of_a_newer_release_is_refused_and_left_alone(daemon: Daemon) -> None:
    daemon.stop()
    path = daemon.state / "volumed.db"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "made by a newer release" in refused(daemon.state)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)
    database.close()


@pytest.fixture
def without_target(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon whose target is to listen on an address that this machine has not (RFC 5737)."""
    path = write(tmp_path / "volumed.conf", "[file]\ntarget_ip_address = 192.0.2.1\ntarget_port = 33260\n")
    with running_daemon(("--config-file", path)) as daemon:
        yield daemon


def test_the_api_serves_while_a_backend_cannot_start_and_says_why(without_target: Daemon) -> None:
    with without_target.session() as session:
        assert session.get("/volumes").status_code == 200
    deadline = time.monotonic() + 10
    while "cannot start" not in without_target.output() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "192.0.2.1" in next(line for line in without_target.output().splitlines() if "cannot start" in line)

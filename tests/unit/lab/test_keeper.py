"""Servers of the tests end with whom they are for, however that ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.lab import keeper

#: Seconds for a process to start or to end.
PATIENCE = 60.0

#: Says who it is and lives on, as a server does that ignores polite requests.
SERVER = "import os,pathlib,signal,sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); \
pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); signal.pause()"


@pytest.fixture
def client() -> Iterator["subprocess.Popen[bytes]"]:
    """Whom a server is for."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process
        process.kill()


@pytest.fixture
def kept(
    tmp_path: Path, client: "subprocess.Popen[bytes]"
) -> Iterator[tuple["subprocess.Popen[bytes]", list[int], Path]]:
    """A keeper, the two processes that it keeps for ``client``, and the folder that it is to remove."""
    folder, notes = tmp_path / "folder", [tmp_path / "one", tmp_path / "two"]
    folder.mkdir()
    commands = [[sys.executable, "-c", SERVER, str(note)] for note in notes]
    process = subprocess.Popen(keeper.command_for(client.pid, str(folder), commands))
    until(lambda: all(note.exists() and note.read_text() for note in notes))
    yield process, [int(note.read_text()) for note in notes], folder
    process.kill()
    process.wait(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_they_end_when_their_client_is_killed(
    kept: tuple["subprocess.Popen[bytes]", list[int], Path], client: "subprocess.Popen[bytes]"
) -> None:
    process, servers, folder = kept
    client.kill()
    process.wait(PATIENCE)
    assert all(map(ended, servers))
    assert not folder.exists()


def test_they_end_when_the_last_of_them_ends(kept: tuple["subprocess.Popen[bytes]", list[int], Path]) -> None:
    process, servers, folder = kept
    os.kill(servers[-1], signal.SIGKILL)
    process.wait(PATIENCE)
    assert all(map(ended, servers))
    assert not folder.exists()


def test_they_end_on_request(kept: tuple["subprocess.Popen[bytes]", list[int], Path]) -> None:
    process, servers, folder = kept
    process.terminate()
    process.wait(PATIENCE)
    assert all(map(ended, servers))
    assert not folder.exists()


def test_they_end_when_their_keeper_is_killed(kept: tuple["subprocess.Popen[bytes]", list[int], Path]) -> None:
    process, servers, _ = kept
    process.kill()
    until(lambda: all(map(ended, servers)))


def test_for_a_client_that_has_ended_nothing_starts(tmp_path: Path, client: "subprocess.Popen[bytes]") -> None:
    client.kill()
    client.wait(PATIENCE)
    note = tmp_path / "note"
    command = keeper.command_for(client.pid, "", [[sys.executable, "-c", SERVER, str(note)]])
    assert subprocess.run(command, timeout=PATIENCE).returncode == 0
    assert not note.exists()


def test_a_folder_that_is_to_stay_stays(kept: tuple["subprocess.Popen[bytes]", list[int], Path]) -> None:
    process, servers, folder = kept
    process.send_signal(signal.SIGUSR1)
    os.kill(servers[-1], signal.SIGKILL)
    process.wait(PATIENCE)
    assert folder.exists()

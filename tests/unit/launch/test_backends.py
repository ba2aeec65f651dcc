"""The launcher of backends, as systemd and an operator see it: real processes, and a socket that hears what it says."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.lab import launched
from volumed.launch.backends import Launcher, Timing

PATIENCE = 30.0


class Heard:
    """What a service manager is told, each line with the time when it came."""

    def __init__(self, path: Path) -> None:
        self.lines: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096):
            self.lines += [(time.monotonic(), line) for line in message.decode().splitlines()]

    def said(self) -> list[str]:
        return [line for _, line in self.lines]

    def last(self, line: str) -> float:
        """When ``line`` was heard last."""
        return max((at for at, said in self.lines if said == line), default=0.0)


class Launched:
    """A launcher in ``folder``."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.heard = Heard(folder / "notify")
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": "1000000",
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        }
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, launched.__file__, *arguments], cwd=folder, env=environment, stdout=log, stderr=log
            )

    def pids(self, name: str) -> list[int]:
        """Every process that was this backend so far."""
        path = self.folder / name
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def until(self, look: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not look():
            log = (self.folder / "log").read_text()
            assert time.monotonic() < deadline, f"{self.heard.said()}\n{log}"
            time.sleep(0.02)

    def until_ready(self) -> None:
        self.until(lambda: "READY=1" in self.heard.said())


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launched]]:
    made: list[Launched] = []

    def start(*arguments: str) -> Launched:
        made.append(Launched(tmp_path, *arguments))
        return made[-1]

    yield start
    for each in made:
        each.process.kill()
        each.process.wait()
        each.until(lambda found=each: not any(map(psutil.pid_exists, _all_pids(found))))


def _all_pids(found: Launched) -> list[int]:
    return [pid for name in "abc" for pid in found.pids(name)]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_ready_and_a_status_once_all_serve_then_signs_of_life(launch: Callable[..., Launched]) -> None:
    found = launch("0,5,5", "a=well", "b=well")
    found.until_ready()
    assert "STATUS=2 of 2 backends up" in found.heard.said()
    found.until(lambda: found.heard.said().count("WATCHDOG=1") >= 3)
    assert found.heard.said().count("READY=1") == 1


def test_one_that_dies_is_started_again_later_each_time_and_its_neighbour_goes_on(
    launch: Callable[..., Launched],
) -> None:
    found = launch("0,5,5", "a=well", "b=dies")
    found.until(lambda: len(found.pids("b")) >= 3)
    assert len(found.pids("a")) == 1
    told = "STATUS=1 of 2 backends up; b down: its process ended (status 3); it is started again"
    assert told in found.heard.said()
    log = (found.folder / "log").read_text()
    assert "backend b has ended: status 3; it starts again in 1.0 s" in log
    assert "backend b has ended: status 3; it starts again in 2.0 s" in log


def test_a_backend_that_is_killed_is_reaped_before_its_successor_starts(launch: Callable[..., Launched]) -> None:
    found = launch("0,5,5", "a=well")
    found.until_ready()
    (first,) = found.pids("a")
    os.kill(first, signal.SIGKILL)
    found.until(lambda: len(found.pids("a")) == 2)
    assert not psutil.pid_exists(first)
    found.until(lambda: found.heard.last("STATUS=1 of 1 backends up") > found.heard.last("READY=1"))
    assert "backend a has ended: killed by SIGKILL" in (found.folder / "log").read_text()


def test_no_child_outlives_a_launcher_that_is_killed(launch: Callable[..., Launched]) -> None:
    found = launch("0,5,5", "a=deaf", "b=well")
    found.until_ready()
    found.process.kill()
    found.until(lambda: not any(map(psutil.pid_exists, _all_pids(found))))


def test_the_first_signal_drains_and_says_so(launch: Callable[..., Launched]) -> None:
    found = launch("0,20,5", "a=well", "b=well")
    found.until_ready()
    found.process.terminate()
    assert found.process.wait(PATIENCE) == 0
    assert "STOPPING=1" in found.heard.said()
    assert not any(map(psutil.pid_exists, _all_pids(found)))


def test_who_does_not_stop_in_time_is_killed(launch: Callable[..., Launched]) -> None:
    found = launch("0,0.5,5", "a=deaf")
    found.until_ready()
    found.process.terminate()
    assert found.process.wait(PATIENCE) == 0
    assert "backend a is killed: it did not stop in time" in (found.folder / "log").read_text()


def test_the_second_signal_ends_at_once(launch: Callable[..., Launched]) -> None:
    found = launch("0,1000,5", "a=deaf")
    found.until_ready()
    found.process.terminate()
    found.until(lambda: "STOPPING=1" in found.heard.said())
    found.process.terminate()
    assert found.process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert not any(map(psutil.pid_exists, _all_pids(found)))


def test_while_a_backend_is_silent_the_watchdog_hears_nothing(launch: Callable[..., Launched]) -> None:
    found = launch("0,5,1", "a=well", "b=well")
    found.until_ready()
    with stopped(found.pids("a")[0]):
        found.until(lambda: time.monotonic() - found.heard.last("WATCHDOG=1") > 3)
    again = time.monotonic()
    found.until(lambda: found.heard.last("WATCHDOG=1") > again)


def test_who_is_silent_for_too_long_is_killed_and_followed(launch: Callable[..., Launched]) -> None:
    found = launch("3,5,1", "a=well", "b=well")
    found.until_ready()
    os.kill(found.pids("a")[0], signal.SIGSTOP)
    found.until(lambda: len(found.pids("a")) == 2)
    assert "backend a is killed: it was silent for 3 s" in (found.folder / "log").read_text()
    assert len(found.pids("b")) == 1


def test_a_reload_is_handed_on_and_told(launch: Callable[..., Launched]) -> None:
    found = launch("0,5,5", "a=well", "b=well")
    found.until_ready()
    found.process.send_signal(signal.SIGHUP)
    found.until(lambda: "STATUS=2 of 2 backends up" in found.heard.said() and found.heard.said().count("READY=1") == 2)
    assert [line for line in found.heard.said() if line == "RELOADING=1"] == ["RELOADING=1"]
    assert len(found.pids("a")) == len(found.pids("b")) == 1


def test_last_words_that_come_with_the_death_of_a_child_are_not_waited_for() -> None:
    found = Launcher(["a"], lambda name, voice: 0, Timing(stuck=0, drain=1))
    found._hear(found.children["a"])  # as after its reaping in the same round
    assert found.children["a"].state == ("starting", None)

"""Daemons forked from a process that has everything imported already: a start costs a fraction of a second.

Each child can be told, at any time, to die with SIGKILL at a named crash point, or to note the points that it passes.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from tests.lab import clock, deployment, watched
from tests.lab.daemon import PATIENCE, Daemon, looked_after

#: Bytes of the longest name of a crash point that can be armed.
LONGEST_NAME = 128

#: Source: prctl(2).
PR_SET_PDEATHSIG = 1

#: Of this process alone: one that dies must leave no lock held.
_COUNTING = threading.Lock()

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.lab.preloaded"])


class Trap:
    """Shared with a child: the point at which it shall die, and the file in which it notes what it passes."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes
        self._armed: Any = _CONTEXT.Array(ctypes.c_char, LONGEST_NAME, lock=False)
        self._left: Synchronized[int] = _CONTEXT.Value(ctypes.c_int, 1, lock=False)  # type: ignore[assignment]
        self._victim: Synchronized[int] = _CONTEXT.Value(ctypes.c_int, 0, lock=False)  # type: ignore[assignment]
        self._held_at: Any = _CONTEXT.Array(ctypes.c_char, LONGEST_NAME, lock=False)
        self._arrived: Synchronized[int] = _CONTEXT.Value(ctypes.c_int, 0, lock=False)  # type: ignore[assignment]
        self._noting: Synchronized[int] = _CONTEXT.Value(ctypes.c_int, 0, lock=False)  # type: ignore[assignment]

    def arm(self, point: str) -> None:
        """Die at the next passage of ``point``, which is ``NAME``, or at the N-th from now: ``NAME:N``."""
        name, _, number = point.partition(":")
        self._left.value = int(number or 1)
        self._armed.value = name.encode()

    @contextmanager
    def holding(self, point: str) -> Iterator["Held"]:
        """Whoever passes ``point`` inside the block waits there until its end, or until ``release``."""
        held = Held(self._held_at, self._arrived)
        self._arrived.value = 0
        self._held_at.value = point.encode()
        try:
            yield held
        finally:
            held.release()

    @property
    def victim(self) -> int | None:
        """Who passed the point and is dying or dead, or None while nobody has."""
        return None if self._armed.value else int(self._victim.value)

    def disarm(self) -> None:
        self._armed.value = b""

    @contextmanager
    def noting(self) -> Iterator[list[str]]:
        """Collect the points passed inside the block, in order: ``NAME``, and ``NAME:N`` for its N-th passage."""
        passed: list[str] = []
        self.notes.write_text("")
        self._noting.value = 1
        try:
            yield passed
        finally:
            self._noting.value = 0
            passed.extend(_numbered(self.notes.read_text().split()))

    def passed(self, name: str) -> None:
        """Called in the child at every point."""
        if self._armed.value == name.encode() and self._is_last():
            self._victim.value = os.getpid()
            self.disarm()  # for whoever else has the trap
            os.kill(os.getpid(), signal.SIGKILL)
        while self._held_at.value == name.encode():
            self._arrived.value = 1
            time.sleep(0.01)
        if self._noting.value:
            with self.notes.open("a") as notes:
                notes.write(f"{name}\n")

    def _is_last(self) -> bool:
        """Count a passage of the armed point."""
        with _COUNTING:
            self._left.value -= 1
            return self._left.value <= 0


def _numbered(names: Iterable[str]) -> Iterator[str]:
    passages: Counter[str] = Counter()
    for name in names:
        passages[name] += 1
        yield name if passages[name] == 1 else f"{name}:{passages[name]}"


class Held:
    """A crash point at which somebody is held."""

    def __init__(self, point: Any, arrived: Any) -> None:
        self._point = point
        self._arrived = arrived

    def wait(self) -> None:
        """Until somebody is held there."""
        deadline = time.monotonic() + PATIENCE
        while not self._arrived.value:
            assert time.monotonic() < deadline, f"nobody came to {self._point.value.decode()}"
            time.sleep(0.01)

    def release(self) -> None:
        """Let everybody go on."""
        self._point.value = b""


class Child:
    """A forked daemon with the face of ``subprocess.Popen`` that ``Daemon`` needs."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.pid: int = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode  # type: ignore[no-any-return]

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"process {self.pid} has not ended within {timeout} s")
        return int(self._process.exitcode)

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkedDaemon(Daemon):
    """A ``volumed up`` forked from the preloaded process, with a ``trap``."""

    def __init__(
        self, folder: Path, arguments: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, arguments, environment)
        self.trap = Trap(folder / "points")

    def spawn(self, environment: Mapping[str, str] | None = None) -> Any:
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        self.watch.begin(self.state)
        with self.log.open("ab") as log:
            self._start_of_log = log.tell()
        command = ["up", "--state", str(self.state), "--listen", listen, *self.arguments]
        surroundings = {**self.environment, **(environment or {})}
        self._process = fork(_serve_all, (command, surroundings, str(self.log), self.watch.notes, self.trap))  # type: ignore[assignment]
        return self._process

    def terminate(self) -> None:
        """SIGTERM without waiting: where the trap is armed, the stop ends there."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait_for_death_or_rest(self, rest: float = 1.5) -> None:
        """Wait until the trap has killed it; where it does not within ``rest`` seconds, it is killed here."""
        assert self._process is not None
        try:
            self._process.wait(rest)
        except TimeoutError:
            self.kill()
        self.trap.disarm()

    def wait_for_death(self) -> None:
        """Wait until the trap has killed it."""
        assert self._process is not None
        status = self._process.wait(PATIENCE)
        assert status == -signal.SIGKILL, f"it ended with {status}:\n{self.output()}"
        self.trap.disarm()


def make_forked(
    folder: Path, arguments: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
) -> ForkedDaemon:
    """A daemon of the present deployment."""
    if deployment.current() == deployment.FLEET:
        from tests.lab.fleet import FleetDaemon

        return FleetDaemon(folder, arguments, environment)
    return ForkedDaemon(folder, arguments, environment)


@contextmanager
def forked_daemon(configuration: str = "", state: Path | None = None) -> Iterator[ForkedDaemon]:
    """As ``running_daemon``, forked; ``configuration`` is its ``volumed.conf``, ``state`` a folder elsewhere."""
    daemon = make_forked(Path(tempfile.mkdtemp(prefix="volumed-")))
    daemon.state = state or daemon.state
    daemon.state.mkdir(mode=0o700, exist_ok=True)
    (daemon.state / "volumed.conf").write_text(configuration)
    with looked_after(daemon):
        yield daemon


def fork(target: Any, arguments: tuple[Any, ...]) -> Child:
    """Run ``target`` in a process forked from the one that has everything imported."""
    process = _CONTEXT.Process(target=target, args=arguments)
    process.start()
    return Child(process)


def _serve_all(command: list[str], environment: dict[str, str], log: str, notes: Path, trap: Trap) -> None:
    from volumed.cmd import volumed

    _settle(environment, log, notes, trap)
    sys.exit(volumed.main(command))


def serve_service(
    name: str, command: list[str], environment: dict[str, str], log: str, notes: Path, trap: Trap
) -> None:
    """Be the service ``name`` of a fleet."""
    from volumed.cmd import service

    _settle(environment, log, notes, trap)
    sys.exit(service.SERVICES[name](command))


def _settle(environment: dict[str, str], log: str, notes: Path, trap: Trap) -> None:
    """Surroundings as those of a process that was started by its command."""
    from volumed.model import crash_points

    # A test run that is killed must leave no daemon: the forking process goes with it, and this one then too.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    watched.note_secrets(notes)
    if path := os.environ.get(clock.VARIABLE):
        clock.follow(Path(path))
    crash_points.watch(trap.passed)

"""A real ``volumed up`` in a state folder of its own, seen only from outside.

Knows the command line, the line that it prints and the process table; knows nothing of volumed's insides.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import requests

from tests.lab import deployment, sealed, watched
from tests.lab.watcher import Watch

#: Seconds that a start or an orderly stop may take on a loaded machine.
PATIENCE = 30.0

#: The microversion that tests speak unless they say otherwise.
MICROVERSION = "3.66"

#: ``volumed``, noting its secrets for the watcher; the folder of the script is not to be imported from.
_WATCHED = (sys.executable, "-P", watched.__file__)

_URL = re.compile(r"^volumed serves (https?://\S+)", re.MULTILINE)


def pauses() -> Iterator[float]:
    """Seconds between two looks at what takes a moment; they grow, so that waiting keeps nobody from his work."""
    pause = 0.02
    while True:
        yield pause
        pause = min(0.2, 1.3 * pause)


class Daemon:
    """One ``volumed up``: start, kill, start again. ``url`` ends without ``/v3`` and keeps its port over restarts."""

    def __init__(
        self,
        folder: Path,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> None:
        """``wrapper`` is a command that becomes volumed by exec, in surroundings that it prepares (setpriv, unshare).

        ``folder`` must be short: a socket's path below it has at most 107 bytes (unix(7)).
        """
        self.folder = folder
        self.state = folder / "state"
        self.log = folder / "daemon.log"
        self.arguments = arguments
        self.environment = dict(environment or {})
        self.wrapper = wrapper
        self.watch = Watch(folder)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._start_of_log = 0

    def __enter__(self) -> "Daemon":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the running process; raises when there is none."""
        if self._process is None:
            raise RuntimeError("the daemon is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, environment: Mapping[str, str] | None = None) -> "Daemon":
        """Start and wait for the line that says the URL. ``environment`` is added for this start only."""
        self.spawn(environment)
        self.wait_until_serving()
        return self

    def spawn(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start without waiting; for starts that are meant to fail."""
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        command = [*_WATCHED, "up", "--state", str(self.state), "--listen", listen]
        self.watch.begin(self.state)
        surroundings = {"PYTHONUNBUFFERED": "1", watched.NOTES: str(self.watch.notes)}
        with self.log.open("ab") as log:
            self._start_of_log = log.tell()
            self._process = subprocess.Popen(
                [*self.wrapper, *command, *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **surroundings, **self.environment, **(environment or {})},
                start_new_session=True,
            )
        return self._process

    def wait_until_serving(self) -> None:
        """Wait for the URL's line; raises with the log when the process ends before it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = _URL.search(self.output())
            if found is not None:
                self.url = found[1]
                return
            if not self.running:
                raise RuntimeError(f"volumed up ended before it served:\n{self.output()}")
            time.sleep(0.02)
        raise RuntimeError(f"volumed up does not serve after {PATIENCE:g} s:\n{self.output()}")

    def output(self, start: int | None = None) -> str:
        """What this start of the process said so far, both streams; or everything since ``start`` of its log."""
        with self.log.open("rb") as log:
            log.seek(self._start_of_log if start is None else start)
            return log.read().decode(errors="replace")

    def kill(self) -> None:
        """SIGKILL, as a crash does; its tgtd lives on."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM and wait; returns the exit status. Does nothing when it does not run."""
        if not self.running:
            return 0
        return self._end(signal.SIGTERM)

    def wait_for_end(self) -> int:
        """Wait for a process that ends by itself (a crash point, a refused start); returns its exit status."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise RuntimeError(f"volumed up ignores {number.name}:\n{self.output()}") from None

    def remove(self) -> list[str]:
        """Remove the folder of a daemon that has ended; returns where secrets of it were found."""
        try:
            return self.watch.end(self.state, self.log)
        finally:
            shutil.rmtree(self.folder)

    def session(self, user: str = "admin", project: str = "admin", microversion: str = MICROVERSION) -> "Session":
        """A REST session as ``user`` of ``project``."""
        return Session(self.url, f"{user}:{project}", microversion, self.watch)

    def processes(self) -> list[psutil.Process]:
        """Every living process that works in this state folder or names it in its command line or environment."""
        found = []
        for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
            if pid != os.getpid() and self._is_ours(pid):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(pid))
        return found

    def _is_ours(self, pid: int) -> bool:
        """Read from /proc, of which a look at every process of the machine takes a few milliseconds."""
        folder, wanted = Path(f"/proc/{pid}"), os.fsencode(self.state)
        try:
            return any(
                wanted in words
                for words in (
                    os.fsencode(os.readlink(folder / "cwd")),
                    (folder / "cmdline").read_bytes(),
                    (folder / "environ").read_bytes(),
                )
            )
        except OSError:  # it is gone, or a zombie, or somebody else's
            return False


class Session(requests.Session):
    """``requests`` with the daemon's address, a token and a microversion; paths begin after ``/v3``."""

    def __init__(self, url: str, token: str, microversion: str, watch: Watch) -> None:
        super().__init__()
        self.url = url
        self._watch = watch
        self._deployment = deployment.current()
        self.trust_env = False
        self.headers.update({"X-Auth-Token": token, "OpenStack-API-Version": f"volume {microversion}"})

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """``url`` is a path below ``/v3``, or a whole URL."""
        assert self._deployment == deployment.current(), "the daemon is of another deployment than the test"
        kwargs.setdefault("timeout", PATIENCE + 10)
        answer = super().request(method, url if "://" in url else f"{self.url}/v3{url}", *args, **kwargs)
        if not kwargs.get("stream"):
            self._watch.answered(method, url, answer.status_code, answer.content)
        return answer

    def create_volume(self, size: int = 1, **fields: Any) -> dict[str, Any]:
        """Ask for a volume, return it as accepted."""
        answer = self.post("/volumes", json={"volume": {"size": size, **fields}})
        assert answer.status_code == 202, answer.text
        return dict(answer.json()["volume"])

    def make_volume(self, size: int = 1, **fields: Any) -> str:
        """Create a volume and wait until it is available; returns its id."""
        volume_id = str(self.create_volume(size, **fields)["id"])
        self.wait_for_status(f"/volumes/{volume_id}", "available")
        return volume_id

    def attach(self, volume_id: str, initiator: str | None = None) -> dict[str, Any]:
        """Attach for ``initiator``, None being anyone who knows the secret; returns the attachment."""
        connector = {"ip": "127.0.0.1", "host": "client", "initiator": initiator}
        body = {"volume_uuid": volume_id, "instance_uuid": str(uuid.uuid4()), "connector": connector}
        answer = self.post("/attachments", json={"attachment": body})
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["attachment"])

    def wait_for_status(self, path: str, status: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Wait until the resource at ``path`` (``/volumes/ID``) has ``status``; an error status fails at once."""
        deadline = time.monotonic() + patience
        for pause in pauses():
            answer = self.get(path)
            assert answer.status_code == 200, answer.text
            resource = dict(next(iter(answer.json().values())))
            if resource["status"] == status:
                return resource
            if resource["status"].startswith("error") or time.monotonic() > deadline:
                break
            time.sleep(pause)
        raise AssertionError(f"{path} is {resource['status']}, not {status}: {resource}")

    def wait_until_gone(self, path: str, patience: float = PATIENCE) -> None:
        """Wait until ``path`` answers 404."""
        deadline, pause = time.monotonic() + patience, pauses()
        while (answer := self.get(path)).status_code != 404:
            assert time.monotonic() < deadline, f"{path} is still there: {answer.text}"
            time.sleep(next(pause))


def refused(
    state: Path, *arguments: str, listen: str = "127.0.0.1:0", wrapper: tuple[str, ...] = (), patience: float = PATIENCE
) -> str:
    """What a start that must be refused says; it must be one sentence without a traceback."""
    command = [sys.executable, "-m", "volumed.cmd.volumed", "up", "--state", str(state), "--listen", listen]
    done = subprocess.run(
        [*wrapper, *command, *arguments], capture_output=True, text=True, timeout=patience, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""
    assert not [key for key in sealed.keys(state) if key in done.stderr]
    return done.stderr.splitlines()[-1]


@contextmanager
def running_daemon(
    arguments: tuple[str, ...] = (), environment: Mapping[str, str] | None = None, wrapper: tuple[str, ...] = ()
) -> Iterator[Daemon]:
    """A daemon in a fresh folder."""
    with looked_after(_made(Path(tempfile.mkdtemp(prefix="volumed-")), arguments, environment, wrapper)) as daemon:
        yield daemon


def _made(
    folder: Path, arguments: tuple[str, ...], environment: Mapping[str, str] | None, wrapper: tuple[str, ...]
) -> Daemon:
    """A daemon of the present deployment."""
    if deployment.current() == deployment.EMBEDDED:
        return Daemon(folder, arguments, environment, wrapper)
    from tests.lab.fleet import FleetDaemon

    assert not wrapper, "the services of a fleet are forked and not run by a command"
    return FleetDaemon(folder, arguments, environment)


@contextmanager
def looked_after(daemon: Daemon) -> Iterator[Daemon]:
    """Start ``daemon``; at the end it must stop in order and leave no process, and its folder goes.

    A test that ends with the daemon killed leaves its tgtd alive by design: then it is ended here without complaint.
    """
    was_running = False
    left: list[str] = []
    told: list[str] = []
    try:
        daemon.start()
        yield daemon
    finally:
        try:
            was_running = daemon.running
            daemon.stop()
        finally:
            left = [f"{process.pid} {process.cmdline()}" for process in daemon.processes()]
            _end(daemon.processes())
            log = daemon.output()
            told = daemon.remove()
    assert not told, f"secrets are in {told}"
    assert not (was_running and left), f"volumed up left processes behind: {left}\n{log}"


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=PATIENCE)

"""A ``volumed up`` to be measured: started, its CPU and memory read from /proc, stopped.

Source: proc(5), ``stat`` fields 14 to 17, ``statm`` field 2.
"""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

PATIENCE = 60.0

HEADERS = {"OpenStack-API-Version": "volume 3.66", "Content-Type": "application/json"}

#: What a state folder's configuration says: as many volumes as the measurement wants.
NO_QUOTA = """\
[quota]
volumes = -1
gigabytes = -1
snapshots = -1
"""
UNLIMITED = f"{NO_QUOTA}[file]\nmax_over_subscription_ratio = 1000000\n"

_URL = re.compile(r"^volumed serves http://(\S+)", re.MULTILINE)
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

COMMAND = ("-m", "volumed.cmd.volumed")


class Daemon:
    """One server on ``folder/state``."""

    def __init__(self, folder: Path, command: Sequence[str] = COMMAND) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.address = ""
        #: Seconds from the start of the process to the line that says the URL.
        self.started_in = 0.0
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        log = self.folder / "log"
        log.write_bytes(b"")
        began = time.monotonic()
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, *self._command, "up", "--state", str(self.state), "--listen", "127.0.0.1:0"],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        while (found := _URL.search(log.read_text(errors="replace"))) is None:
            if self._process.poll() is not None or time.monotonic() - began > PATIENCE:
                raise RuntimeError(f"volumed up does not serve:\n{log.read_text(errors='replace')}")
            time.sleep(0.002)
        self.started_in = time.monotonic() - began
        self.address = found[1]

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """SIGKILL; tgtd lives on."""
        assert self._process is not None, "not started"
        self._process.kill()
        self._process.wait()

    def cpu_seconds(self) -> float:
        """User and system time of the server, of the children it waited for, and of its tgtd."""
        return sum(_cpu_ticks(pid) for pid in self.pids()) / _TICK

    def resident_megabytes(self) -> float:
        """Memory of the server itself."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE / 1e6

    def pids(self) -> list[int]:
        """The server and whatever works in its state folder."""
        return [self.pid, *(pid for pid in _all_pids() if pid != self.pid and _works_in(pid, self.state))]

    def end_left_over(self) -> None:
        """Kill what still works in the state folder, by id."""
        for pid in _all_pids():
            if _works_in(pid, self.state):
                os.kill(pid, signal.SIGKILL)

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """The database file itself."""
        with closing(sqlite3.connect(self.state / "volumed.db", timeout=PATIENCE)) as database, database:
            yield database

    def connect(self) -> HTTPConnection:
        """A connection that is kept alive."""
        host, _, port = self.address.rpartition(":")
        return HTTPConnection(host, int(port), timeout=PATIENCE)


def request(connection: HTTPConnection, method: str, path: str, body: Any = None, project: str = "admin") -> Any:
    """One request as an administrator in ``project``, on a connection that is kept; the document of the answer."""
    headers = {**HEADERS, "X-Auth-Token": f"admin:{project}"}
    connection.request(method, f"/v3{path}", None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {path}: HTTP {answer.status} {content.decode(errors='replace')}")
    return json.loads(content) if content else None


@contextmanager
def running(command: Sequence[str] = COMMAND, configuration: str = UNLIMITED) -> Iterator[Daemon]:
    """A server in a fresh folder, by default without quota; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="volumed-bench-"))
    daemon = Daemon(folder, command)
    try:
        daemon.state.mkdir()
        (daemon.state / "volumed.conf").write_text(configuration)
        daemon.start()
        yield daemon
    finally:
        daemon.stop()
        daemon.end_left_over()
        shutil.rmtree(folder)


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15])


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _works_in(pid: int, state: Path) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(str(state))
    except OSError:
        return False

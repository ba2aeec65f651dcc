"""A cluster from start to end: its daemons, its pools and its clients; one that all of a run share, or a test's own.

No service of the system is touched, and no file outside the cluster's own two folders. ``tests/lab/keeper`` ends the
daemons with the process that they are for, also when that is killed.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from tests.lab import keeper
from tests.lab.ceph.configuration import Layout
from tests.lab.ports import Port
from tests.lab.this_run import started_once

#: Seconds that anything of a cluster may take; a quiet machine of two cores needs two.
PATIENCE: Final = 120.0

#: Bytes that the OSD may hold.
SIZE: Final = 10 << 30

#: Placement groups of a pool.
_GROUPS: Final = "8"


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who may use one pool and nothing else: what a service is told."""

    user: str
    configuration: str
    pool: str


class Cluster:
    """The cluster at ``layout``, which runs already; anybody who knows its place may use it."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @property
    def fsid(self) -> str:
        return self.layout.fsid

    @contextmanager
    def pool(self) -> Iterator[Client]:
        """A pool of the caller's own with a client that may use it; the pool goes at the end."""
        client = self.make_pool(f"p-{uuid.uuid4().hex[:12]}")
        try:
            yield client
        finally:
            self.remove_pool(client.pool)

    def make_pool(self, name: str) -> Client:
        """A pool ready for images, and a client of the same name with the capabilities that the driver documents."""
        self.ask("osd", "pool", "create", name, _GROUPS)
        command("rbd", "-c", str(self.layout.administrator), "pool", "init", name)
        return self.make_client(name, name)

    def make_client(self, user: str, pool: str, namespace: str | None = None) -> Client:
        """``profile rbd`` on ``pool``, or on a namespace of it, and nothing more."""
        allowed = f"profile rbd pool={pool}" + (f" namespace={namespace}" if namespace else "")
        told = self.ask("auth", "get-or-create", f"client.{user}", "mon", "profile rbd", "osd", allowed, "mgr", allowed)
        configuration = self.layout.write_client(user, told[0]["key"])
        return Client(user, str(configuration), pool)

    def remove_pool(self, name: str) -> None:
        self.ask("osd", "pool", "rm", name, name, "--yes-i-really-really-mean-it")

    def set_quota(self, pool: str, max_bytes: int) -> None:
        """0 lifts it."""
        self.ask("osd", "pool", "set-quota", pool, "max_bytes", str(max_bytes))

    def ask(self, *words: str) -> Any:
        """A command of the administrator; its answer, None where it is empty. Never for longer than ``PATIENCE``."""
        configuration = ["-c", str(self.layout.administrator)]
        answer = command("ceph", *configuration, "--connect-timeout", f"{PATIENCE:g}", "-f", "json", *words)
        return json.loads(answer) if answer.strip() else None


class OwnCluster(Cluster):
    """A cluster whose daemons are held, for the process ``watched``: to be paused, killed and started again."""

    def __init__(self, folder: Path, store: str = "memstore", size: int = SIZE, watched: int | None = None) -> None:
        """Another folder beside ``folder``, with ``-osd`` behind its name, is the OSD's."""
        self._port = Port()
        super().__init__(Layout(folder, _data_of(folder), str(uuid.uuid4()), self._port.number))
        self._store, self._size, self._watched = store, size, watched or os.getpid()
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "OwnCluster":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> "OwnCluster":
        """Make it and wait until images can be made and its figures are true."""
        layout = self.layout
        layout.write(self._store, self._size)
        self._format_monitor()
        osd = str(uuid.uuid4())
        with self._formatted_osd(osd):
            configuration = ["-c", str(layout.administrator), "-f"]
            self._keep(
                "mon", layout.folder, ["ceph-mgr", *configuration, "-i", "x"], ["ceph-mon", *configuration, "-i", "a"]
            )
            self.ask("osd", "new", osd)
        self.start_osd()
        return self

    def stop(self) -> None:
        """End the daemons; nothing is left of the cluster."""
        for name in ("osd", "mon"):
            self._end(name)
        self._port.release()
        for folder in (self.layout.folder, self.layout.data):
            shutil.rmtree(folder, ignore_errors=True)

    def start_osd(self) -> None:
        """Start it, for the first time or again, and wait until it is there and figures of capacity are true."""
        self._keep("osd", self.layout.data, ["ceph-osd", "-c", str(self.layout.administrator), "-f", "-i", "0"])
        _wait("the OSD", lambda: self.ask("osd", "stat")["num_up_osds"] == 1)
        _wait("figures of capacity", lambda: self.ask("df")["stats"]["total_bytes"] > 0)

    def kill_osd(self) -> None:
        """SIGKILL: memstore loses everything, bluestore nothing."""
        self._keepers["osd"].send_signal(signal.SIGUSR1)
        self._end("osd")

    def pause(self, daemon: str) -> None:
        """SIGSTOP ``mon``, ``osd`` or ``mgr``: connections stay, and nobody answers from now on."""
        process = self._process(daemon)
        process.suspend()
        _wait(f"all threads of ceph-{daemon} stopped", lambda: _is_stopped(process.pid))

    def resume(self, daemon: str) -> None:
        self._process(daemon).resume()

    def _process(self, daemon: str) -> psutil.Process:
        for kept in self._keepers.values():
            for process in psutil.Process(kept.pid).children():
                if process.name() == f"ceph-{daemon}":
                    return process
        raise RuntimeError(f"ceph-{daemon} does not run")

    def _keep(self, name: str, folder: Path, *commands: list[str]) -> None:
        with (folder / f"{name}.log").open("ab") as log:
            self._keepers[name] = subprocess.Popen(
                keeper.command_for(self._watched, str(folder), commands),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end(self, name: str) -> None:
        kept = self._keepers.pop(name, None)
        if kept is not None:
            kept.terminate()
            kept.wait(PATIENCE)

    def _format_monitor(self) -> None:
        layout, monmap = self.layout, str(self.layout.folder / "monmap")
        address = f"[v2:127.0.0.1:{layout.port}]"
        command("monmaptool", "--create", "--clobber", "--fsid", layout.fsid, "--addv", "a", address, monmap)
        seed = ["--mkfs", "--monmap", monmap, "--keyring", str(layout.keyring)]
        command("ceph-mon", "-c", str(layout.administrator), "-i", "a", *seed)

    @contextmanager
    def _formatted_osd(self, osd: str) -> Iterator[None]:
        """Format the OSD's store while the monitor starts."""
        arguments = ["-c", str(self.layout.administrator), "-i", "0", "--mkfs", "--osd-uuid", osd]
        formatting = subprocess.Popen(["ceph-osd", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            yield
        finally:
            _, complaint = formatting.communicate(timeout=PATIENCE)
        if formatting.returncode:
            raise RuntimeError(f"ceph-osd --mkfs: {complaint.decode()}")


def shared() -> Cluster:
    """The run's one cluster: started by the first who asks, for all workers of pytest-xdist, and ended with the run."""
    folder, told = started_once("ceph", _start)
    return Cluster(Layout(folder, _data_of(folder), **told))


def _start(folder: Path, controller: int) -> dict[str, Any]:
    layout = OwnCluster(folder, watched=controller).start().layout
    return {"fsid": layout.fsid, "port": layout.port}


@contextmanager
def own(store: str = "memstore") -> Iterator[OwnCluster]:
    """A running cluster of the caller's own, whose daemons may be paused and killed; nothing is left of it."""
    with OwnCluster(Path(tempfile.mkdtemp(prefix="volumed-ceph-")), store) as cluster:
        yield cluster


def command(*words: str) -> str:
    """Run a program of Ceph's and return what it printed. Raises ``RuntimeError`` with its complaint."""
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _is_stopped(pid: int) -> bool:
    """Whether no thread of the process goes on; the signal reaches them one after the other."""
    states = [task.read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


def _data_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-osd")


def _wait(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not there after {PATIENCE:g} s")
        time.sleep(0.05)

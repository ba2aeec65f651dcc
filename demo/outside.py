"""What is really there, counted without asking volumed: SQL, folders, tgtd itself, the process table, sockets."""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

#: Seconds for a process to be gone after its signal.
PATIENCE = 10.0

#: What must be 0 when everything is deleted: each a query on the database file.
QUERIES = {
    "rows of volumes": "SELECT count(*) FROM volumes",
    "rows of snapshots": "SELECT count(*) FROM snapshots",
    "rows of attachments": "SELECT count(*) FROM attachments",
    "operations that did not end": "SELECT count(*) FROM operations WHERE live_key IS NOT NULL",
    "quota in use": "SELECT coalesce(sum(in_use), 0) FROM quotas",
    "GiB allocated in pools": "SELECT coalesce(sum(allocated), 0) FROM pools",
    "volumes counted in pools": "SELECT coalesce(sum(volumes), 0) FROM pools",
}


def unfinished_operations(state: Path) -> int:
    """Operations that had not ended, by the database file."""
    return _ask(state, QUERIES["operations that did not end"])


def most_claimed(state: Path, volume_ids: Sequence[str]) -> str:
    """The volume whose creation was claimed most often: the one that a kill interrupted, where there is one."""
    marks = ",".join("?" * len(volume_ids))
    query = (
        f"SELECT resource_id FROM operations WHERE resource_id IN ({marks}) ORDER BY claims DESC, created_at LIMIT 1"
    )
    with closing(_open(state)) as database:
        return str(database.execute(query, list(volume_ids)).fetchone()[0])


def leftovers(state: Path) -> dict[str, int]:
    """What is still there of volumes, by name; all 0 when everything was deleted."""
    counts = {name: _ask(state, query) for name, query in QUERIES.items()}
    counts["files of volumes and snapshots"] = len(list(_files(state)))
    counts["targets of tgtd"] = len(list(_targets(state)))
    return counts


def processes(state: Path) -> dict[int, str]:
    """Every living process that works in ``state`` or names it, by id."""
    return {pid: command for pid in _pids() if (command := _command_in(pid, state)) is not None}


def end_processes(state: Path) -> None:
    """Kill what is left of this state folder's processes, by id, and wait until they are gone."""
    for pid in processes(state):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + PATIENCE
    while processes(state) and time.monotonic() < deadline:
        time.sleep(0.02)


def _ask(state: Path, query: str) -> int:
    with closing(_open(state)) as database:
        return int(database.execute(query).fetchone()[0])


def _open(state: Path) -> sqlite3.Connection:
    found = list(state.rglob("*.db"))
    if len(found) != 1:
        raise RuntimeError(f"{state} has {len(found)} databases and not one")
    return sqlite3.connect(f"file:{found[0]}?mode=ro", uri=True, timeout=PATIENCE)


def _files(state: Path) -> Iterator[Path]:
    return (path for path in state.rglob("*") if path.name.lstrip(".").startswith(("volume-", "snapshot-")))


def _targets(state: Path) -> Iterator[str]:
    tgtadm = shutil.which("tgtadm", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if tgtadm is None:
        raise RuntimeError("tgtadm is not installed: apt-get install tgt")
    for socket in (path for path in state.rglob("*.0") if path.is_socket()):
        # The socket is named relative to its folder: a socket's path has at most 107 bytes (unix(7)).
        said = subprocess.run(
            [tgtadm, "--lld", "iscsi", "--mode", "target", "--op", "show"],
            cwd=socket.parent,
            env={"TGT_IPC_SOCKET": socket.name.removesuffix(".0")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        ).stdout
        yield from (line for line in said.splitlines() if line.startswith("Target "))


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())


def _command_in(pid: int, state: Path) -> str | None:
    """The command line if the process is alive and belongs to ``state``. Source: proc(5)."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        if not words:
            return None
        place = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None
    command = words.replace(b"\0", b" ").decode(errors="replace").strip()
    return command if str(state) in command or place.startswith(str(state)) else None

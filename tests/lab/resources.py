"""What a running daemon holds, read from /proc and its state folder: descriptors, threads, memory, files.

Knows the kernel's words; asks volumed nothing.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.lab.daemon import Daemon

#: Files of the database: its connections are kept in a pool, as many as were needed at once so far.
_DATABASE = re.compile(r"/volumed\.db(-wal|-shm)?$")

#: Of SQLite's 20 connections at most (10 in the pool, 10 beyond it in need) each has the database and its log open, all
#: together the index of the log. Closed ones are kept by SQLite for the next (sqlite.org, os_unix.c, ``pUnused``).
MOST_DATABASE_DESCRIPTORS = 41

#: What differs from one descriptor to the next of the same kind.
_NUMBER = re.compile(r"\[\d+\]")


@dataclass(frozen=True)
class Held:
    """What the daemon and its children hold. ``database`` are descriptors of the database's files."""

    descriptors: Mapping[str, int]
    database: int
    threads: Mapping[str, int]
    files: frozenset[str]


def held_by(daemon: Daemon) -> Held:
    """What is held now; of processes by their names, since a child may be another one."""
    descriptors: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    database = 0
    for process in processes_of(daemon):
        name = "volumed" if process.pid == daemon.pid else process.name()
        threads[name] += process.num_threads()
        for target in _descriptors(process.pid):
            if _DATABASE.search(target):
                database += 1
            else:
                descriptors[f"{name}: {_NUMBER.sub('', target)}"] += 1
    return Held(dict(descriptors), database, dict(threads), _files(daemon.state))


def processes_of(daemon: Daemon) -> list[psutil.Process]:
    """The daemon first, then what it started. A forked daemon names its state folder nowhere."""
    own = psutil.Process(daemon.pid)
    return [own, *(process for process in daemon.processes() if process.pid != own.pid)]


def memory_of(daemon: Daemon) -> dict[str, int]:
    """Bytes of the daemon and of what it started, by name."""
    own, *others = processes_of(daemon)
    return {"volumed": _anonymous_bytes(own)} | {process.name(): _anonymous_bytes(process) for process in others}


def _anonymous_bytes(process: psutil.Process) -> int:
    """Memory that is the process's own: neither a file's pages, which the kernel may drop, nor shared ones by name.

    Source: proc_pid_smaps(5), ``Anonymous`` of ``smaps_rollup``, together with what of it lies in the swap.
    """
    told = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return sum(int(found) << 10 for found in re.findall(r"^(?:Anonymous|Swap): +(\d+) kB$", told, re.MULTILINE))


def _descriptors(pid: int) -> list[str]:
    folder, found = Path(f"/proc/{pid}/fd"), []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(folder / name))
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


def _files(state: Path) -> frozenset[str]:
    return frozenset(str(path.relative_to(state)) for path in state.rglob("*"))

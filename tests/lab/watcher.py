"""Looks for the secrets of every daemon of the tests where none may be: processes, logs, files, rows, answers.

One thread for a test session samples command lines and environments while a daemon lives; the rest is looked through at
its end. It knows generated passwords by what the daemon noted (``tests.lab.watched``) and by opening what is sealed in
the rows, and the keys by the key file. Looked for are words as they are: nothing encoded is found.

What runs in guests has watches of its own, made of the same parts: ``session_watch`` and ``node_watch``.
"""

import contextlib
import os
import re
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.lab import rows, sealed
from volumed.model.credentials import LENGTH

#: Seconds between two looks at the process table.
PAUSE = 0.05

#: A process is read in its first rounds, since it may yet exec, and from then on in each of so many.
FIRST_ROUNDS, LATER_ROUNDS = 3, 100

#: What hands a secret to libiscsi: an initiator's, which is no process of ours.
INITIATORS = b"LIBISCSI_CHAP_PASSWORD="

#: Programs of initiators, which are told secrets as their makers want it: os-brick runs open-iscsi's.
CLIENTS = (b"iscsiadm",)

#: Bytes of the largest file that is read of those that everybody may read: larger ones are clients' data.
LARGEST = 1024**2

#: Files below the state folder that hold clients' data.
DATA = ("volume-", "snapshot-", ".volume-", ".snapshot-")

#: How folders of the kernel's figures end, which are many and hold nothing that anybody wrote.
FIGURES = "statistics"

#: What a password may stand in, and what a key looks like.
_RUN = re.compile(rb"[A-Za-z0-9]{%d,}" % LENGTH)
_KEY = re.compile(rb"[A-Za-z0-9_-]{43}=")

#: Answers in which the owner is told his secret, below ``/v3`` or ``/v3/PROJECT``.
_TOLD = re.compile(
    r"POST .*/attachments|(GET|PUT) .*/attachments/[0-9a-f]{8}-[0-9a-f-]{27}|POST .*/volumes/[^/]+/action"
)


class Words:
    """What could be a secret in texts, and where it stood."""

    def __init__(self) -> None:
        self._found: dict[bytes, set[str]] = {}

    def read(self, data: bytes, where: str) -> None:
        for pattern in (_RUN, _KEY):
            for word in pattern.findall(data):
                self._found.setdefault(word, set()).add(where)

    def hits(self, secrets: frozenset[bytes]) -> Iterator[str]:
        """Where one of the secrets stood."""
        for word, places in list(self._found.items()):
            if word in secrets or any(word[at : at + LENGTH] in secrets for at in range(len(word) - LENGTH + 1)):
                yield from list(places)


class Watch:
    """Over one daemon, from before its first start until ``end``. ``folder`` is not its state folder but above."""

    def __init__(self, folder: Path) -> None:
        self.notes = folder / "noted"
        self.processes = Words()
        self._answers = Words()
        self._keys: set[str] = set()

    def begin(self, state: Path) -> None:
        """Before each start."""
        self._keys |= set(sealed.keys(state))
        _SAMPLER.add(self.processes)

    def answered(self, method: str, path: str, status: int, content: bytes) -> None:
        """What the API answered."""
        path = path.partition("?")[0]
        if status >= 300 or not _TOLD.fullmatch(f"{method.upper()} {path}"):
            self._answers.read(content, f"answer {status} to {method.upper()} {path}")

    def secrets(self, state: Path) -> frozenset[bytes]:
        """Every secret that this daemon made so far."""
        stored = [each["password"] for each in sealed.credentials(state).values()] if _has_schema(state) else []
        return noted(self.notes) | of_known_shape([*stored, *self._keys, *sealed.keys(state)])

    def end(self, state: Path, log: Path) -> list[str]:
        """Where secrets were found; to be asked once, when no process of the daemon is left."""
        _SAMPLER.remove(self.processes)
        secrets = self.secrets(state)
        left = Words()
        read_files(left, log, state)
        for column, value in _values(state):
            left.read(value, f"column {column}")
        return sorted({*self.processes.hits(secrets), *self._answers.hits(secrets), *left.hits(secrets)})


def unfinished() -> int:
    """How many daemons were started and never looked through."""
    return len(_SAMPLER.readers)


def noted(notes: Path) -> frozenset[bytes]:
    """What is in the file of ``tests.lab.watched``."""
    return of_known_shape(notes.read_text().split() if notes.exists() else [])


def of_known_shape(secrets: Iterable[str]) -> frozenset[bytes]:
    """The secrets, all of which ``Words`` would find."""
    known = frozenset(word.encode() for word in secrets)
    odd = [word for word in known if not (_KEY.fullmatch(word) or (_RUN.fullmatch(word) and len(word) == LENGTH))]
    assert not odd, f"the watcher does not know {len(odd)} secrets of another shape (take new_credentials())"
    return known


def read_files(words: Words, log: Path, state: Path) -> None:
    """Read the log, and every file of the state folder: a key may stand in its own."""
    for path in (log, *_files(state)):
        content = _without_keys(path) if path.name == "secrets.key" else path.read_bytes()
        words.read(content, f"file {path}")


def read_what_everybody_may(words: Words, folder: Path, since: float = 0.0) -> None:
    """Read the files below ``folder`` that others than their owner can open, and that were changed ``since``."""
    for path in _open_to_all(folder, since):
        with contextlib.suppress(OSError):  # it is gone, or an attribute of the kernel's that cannot be read
            words.read(path.read_bytes(), f"file {path}, which everybody may read")


class Sampler:
    """Reads the process table for whoever watches; its thread lives as long as somebody does."""

    def __init__(self) -> None:
        self.readers: list[Words] = []
        self._lock = threading.Lock()
        self._rounds: dict[int, int] = {}
        self._thread: threading.Thread | None = None

    def add(self, reader: Words) -> None:
        with self._lock:
            if reader not in self.readers:
                self.readers.append(reader)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watcher of secrets", daemon=True)
                self._thread.start()

    def remove(self, reader: Words) -> None:
        with self._lock:
            if reader in self.readers:
                self.readers.remove(reader)

    def _run(self) -> None:
        while True:
            with self._lock:
                readers = list(self.readers)
                if not readers:
                    self._thread = None
                    self._rounds.clear()
                    return
            self._sample(readers)
            time.sleep(PAUSE)

    def _sample(self, readers: list[Words]) -> None:
        living = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
        self._rounds = {pid: self._rounds.get(pid, -1) + 1 for pid in living}
        for pid, number in self._rounds.items():
            if number < FIRST_ROUNDS or (number + pid) % LATER_ROUNDS == 0:
                for what, content in _said_by(pid):
                    for reader in readers:
                        reader.read(content, f"{what} of process {pid}")


def _said_by(pid: int) -> Iterator[tuple[str, bytes]]:
    """Command line and environment, as far as we may read them."""
    for name in ("cmdline", "environ"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as stream:
                content = stream.read()
        except OSError:
            continue
        if name == "cmdline" and content.partition(b"\0")[0].rpartition(b"/")[2] in CLIENTS:
            return
        if name == "environ" and INITIATORS in content:
            content = b"\0".join(entry for entry in content.split(b"\0") if not entry.startswith(INITIATORS))
        yield name, content


def _open_to_all(folder: Path, since: float) -> Iterator[Path]:
    """Whoever may not list a folder can still know what is in it. Other file systems in it are left alone."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        device = os.stat(folder).st_dev
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                is_readable = stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IROTH
                if is_readable and status.st_ctime >= since and status.st_size <= LARGEST:
                    yield Path(entry.path)
                is_entered = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_IXOTH
                if is_entered and status.st_dev == device and not entry.name.endswith(FIGURES):
                    yield from _open_to_all(Path(entry.path), since)


def _files(state: Path) -> Iterable[Path]:
    return (path for path in state.rglob("*") if path.is_file() and not path.name.startswith(DATA))


def _without_keys(path: Path) -> bytes:
    """A key file is where a key may stand; a password may not stand even there."""
    return _KEY.sub(b"", path.read_bytes())


def _has_schema(state: Path) -> bool:
    return "attachments" in rows.tables(state)


def _values(state: Path) -> Iterator[tuple[str, bytes]]:
    """Every text in every row; a table's file may hold it in two pieces."""
    for table in rows.tables(state):
        for row in rows.select(state, f"SELECT * FROM {table}"):
            for name, value in row.items():
                if isinstance(value, str | bytes | dict | list):
                    yield f"{table}.{name}", value if isinstance(value, bytes) else str(value).encode()


_SAMPLER = Sampler()

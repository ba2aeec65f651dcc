"""A look of the doctor over many volumes, of a server that goes on serving."""

import os
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection

from bench import seed
from bench.creates import Watcher, timed
from bench.daemon import Daemon, request, running
from bench.figure import Figure, milliseconds, p50
from bench.starts import targets
from bench.waiting import PATIENCE, wait_until

VOLUMES, EXPORTED, LEFTOVERS = 10_000, 200, 1_000
ROUNDS = 5

#: Creates while nobody looks, and looks while somebody creates.
CREATES, LOOKS = 300, 10


def look() -> Iterator[Figure]:
    """A look at what is in order, and one at many leftovers; beside the bare reading of the folder and the rows."""
    with running() as daemon:
        seed.with_files(daemon, VOLUMES, EXPORTED)
        daemon.start()
        wait_until(lambda: len(targets(daemon)) == EXPORTED)
        pool = next(path.parent for path in daemon.state.rglob("volume-*"))
        with daemon.database() as database:
            bare = p50(lambda: _read(pool, database), ROUNDS) / 1000
        clean = p50(lambda: _findings(daemon, 0), ROUNDS) / 1000
        for number in range(LEFTOVERS):
            (pool / f"volume-00000000-0000-0000-0000-{number:012}").touch()
        found = milliseconds(lambda: _findings(daemon, LEFTOVERS)) / 1000
    what = f"the doctor looks at {VOLUMES:,} volumes, {EXPORTED} exported"
    beside = "scandir and stat, SELECT id, size"
    yield Figure(what, clean, "s", "< 5", bare, beside)
    yield Figure(f"the same, and finds {LEFTOVERS:,} leftovers", found, "s", "< 5", bare, beside)


def under_load() -> Iterator[Figure]:
    """Looks while a client creates volumes without a pause, beside its creates while nobody looks."""
    with running() as daemon:
        seed.with_files(daemon, VOLUMES, EXPORTED)
        daemon.start()
        wait_until(lambda: len(targets(daemon)) == EXPORTED)
        quiet = p50(lambda: _findings(daemon, 0), ROUNDS) / 1000
        with Watcher(daemon) as watcher:
            undisturbed = _Load(daemon, watcher)
            undisturbed.until(lambda: len(undisturbed.milliseconds) >= CREATES)
            disturbed = _Load(daemon, watcher)
            looks: list[float] = []
            disturbed.until(lambda: _looked(daemon, looks))
    what = f"the doctor looks at {VOLUMES:,} volumes while a client creates"
    alone, beside = undisturbed.milliseconds, "while nobody looks"
    yield Figure(what, statistics.median(looks) / 1000, "s", "< 5", quiet, "the same without load")
    for name, of in (("p50", statistics.median), ("p95", _p95)):
        yield Figure(f"its creates meanwhile, {name}", of(disturbed.milliseconds), "ms", "-", of(alone), beside)


class _Load:
    """One client that creates, one volume after another."""

    def __init__(self, daemon: Daemon, watcher: Watcher) -> None:
        self._daemon = daemon
        self._watcher = watcher
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self.milliseconds: list[float] = []

    def until(self, enough: Callable[[], bool]) -> None:
        """Create until it is enough."""
        thread = threading.Thread(target=self._create)
        thread.start()
        try:
            wait_until(lambda: self._failure is not None or enough())
        finally:
            self._stop.set()
            thread.join(PATIENCE)
        if self._failure is not None:
            raise self._failure

    def _create(self) -> None:
        try:
            with closing(self._daemon.connect()) as connection:
                while not self._stop.is_set():
                    self.milliseconds.append(timed(connection, self._watcher)[1])
        except Exception as error:
            self._failure = error


def _looked(daemon: Daemon, looks: list[float]) -> bool:
    """Look once more; whether that was enough. A finding would be work in flight that is taken for a leftover."""
    looks.append(milliseconds(lambda: _findings(daemon, 0)))
    return len(looks) >= LOOKS


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _findings(daemon: Daemon, number: int) -> None:
    with closing(daemon.connect()) as connection:
        told = request(connection, "GET", "/doctor")["doctor"]
    if len(told["findings"]) != number or told["not_looked_at"]:
        raise RuntimeError(f"{number} findings expected: {len(told['findings'])}, {told['findings'][:3]}")


def _read(pool: Path, database: Connection) -> None:
    for entry in os.scandir(pool):
        entry.stat()
    database.execute("SELECT id, size FROM volumes").fetchall()

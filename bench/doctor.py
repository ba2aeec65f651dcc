"""A look of the doctor over many volumes, of a server that goes on serving."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection

from bench import seed
from bench.daemon import Daemon, request, running
from bench.figure import Figure, milliseconds, p50
from bench.starts import targets
from bench.waiting import wait_until

VOLUMES, EXPORTED, LEFTOVERS = 10_000, 200, 1_000
ROUNDS = 5


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


def _findings(daemon: Daemon, number: int) -> None:
    with closing(daemon.connect()) as connection:
        told = request(connection, "GET", "/doctor")["doctor"]
    if len(told["findings"]) != number or told["not_looked_at"]:
        raise RuntimeError(f"{number} findings expected: {len(told['findings'])}, {told['findings'][:3]}")


def _read(pool: Path, database: Connection) -> None:
    for entry in os.scandir(pool):
        entry.stat()
    database.execute("SELECT id, size FROM volumes").fetchall()

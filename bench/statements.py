"""SQL statements of one create, all services together, without BEGIN and COMMIT."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench import raw
from bench.creates import Watcher, create
from bench.daemon import running
from bench.figure import Figure

ROUNDS = 20

#: Seconds after which nothing of a create is on its way any more.
SETTLING = 0.15


def per_create() -> Iterator[Figure]:
    """The fewest of several creates: periodic work of the services falls into some of them."""
    fewest = of_one_create(ROUNDS)
    print("statements of one create:")
    for number, statement in enumerate(fewest, 1):
        print(f"  {number:2} {statement[:150]}")
    yield Figure("SQL statements of one create", len(fewest), "", "<= 20", raw.COMMITS, "one a transaction")


def of_one_create(rounds: int) -> list[str]:
    """Every statement of one create, from the request to ``available``."""
    with tempfile.TemporaryDirectory(prefix="volumed-bench-") as folder:
        log = Path(folder) / "statements"
        os.environ["BENCH_STATEMENTS"] = str(log)
        try:
            return _fewest(log, rounds)
        finally:
            del os.environ["BENCH_STATEMENTS"]


def _fewest(log: Path, rounds: int) -> list[str]:
    with running(("-m", "bench.counting")) as daemon, Watcher(daemon) as watcher:
        with closing(daemon.connect()) as connection:
            create(connection, watcher)
            time.sleep(SETTLING)
            seen: list[list[str]] = []
            for _ in range(rounds):
                before = len(log.read_text().splitlines())
                create(connection, watcher)
                time.sleep(SETTLING)
                seen.append(log.read_text().splitlines()[before:])
    return min(seen, key=len)

"""A fleet of one node beside the embedded mode, in one run: what broker, database server and processes cost."""

import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection

from bench.creates import Watcher, create, creates_per_second, timed
from bench.daemon import PATIENCE, running
from bench.figure import Figure
from bench.measured_fleet import FleetWatcher, Measured, Use, measured

#: Creates of one measurement of throughput.
MANY = 1_000

#: Creates under way when the volume service is killed.
IN_FLIGHT = 50

#: Volumes that a database has, first and last.
FEW_VOLUMES, MANY_VOLUMES = 1_000, 100_000

#: Creates after which memory is looked at, first and last.
FIRST_LOOK, LAST_LOOK = 1_000, int(os.environ.get("VOLUMED_BENCH_CREATES", "10000"))

BESIDE = "volumed up, one process on SQLite"


def fleet() -> Iterator[Figure]:
    """Latency, throughput, CPU, statements, and a restart in the middle of work."""
    with running() as daemon, Watcher(daemon) as watcher, closing(daemon.connect()) as connection:
        create(connection, watcher)
        embedded = _latency(connection, watcher)
        embedded_eight = creates_per_second(daemon, watcher, clients=8, number=400)
        embedded_many = creates_per_second(daemon, watcher, clients=32, number=320)
    with measured() as found, FleetWatcher(found) as watcher, closing(found.connect()) as connection:
        create(connection, watcher)
        p50 = _latency(connection, watcher)
        yield Figure("create to available on a fleet, one client, p50", p50, "ms", "ratio < 2.5", embedded, BESIDE)
        before = found.use()
        eight = _per_second(found, watcher, 8, MANY)
        yield Figure("creates/s, 8 clients", eight, "/s", "> 40", embedded_eight, BESIDE, more_is_better=True)
        yield from _spent(before, found.use(), MANY)
        many = _per_second(found, watcher, 32, MANY)
        yield Figure("creates/s, 32 clients", many, "/s", "no fewer", embedded_many, BESIDE, more_is_better=True)
        yield from _restart(found, watcher)


def volumes() -> Iterator[Figure]:
    """Creates in a database with few volumes and with many."""
    with measured() as found, FleetWatcher(found) as watcher, closing(found.connect()) as connection:
        found.multiply(FEW_VOLUMES, "few")
        few = _latency(connection, watcher), _per_second(found, watcher, 8, MANY)
        found.multiply(MANY_VOLUMES, "many")
        many = _latency(connection, watcher), _per_second(found, watcher, 8, MANY)
    beside = f"with {FEW_VOLUMES:,} volumes"
    what = f"with {MANY_VOLUMES:,} volumes"
    yield Figure(f"create to available {what}, p50", many[0], "ms", "flat", few[0], beside)
    yield Figure(f"creates/s, 8 clients, {what}", many[1], "/s", "flat", few[1], beside, more_is_better=True)


def memory() -> Iterator[Figure]:
    """What is resident after many creates beside what was after a few; it takes minutes."""
    with measured() as found, FleetWatcher(found) as watcher:
        _per_second(found, watcher, 8, FIRST_LOOK)
        first = found.use()
        _per_second(found, watcher, 8, LAST_LOOK - FIRST_LOOK)
        for name, last in found.use().items():
            what, beside = f"resident after {LAST_LOOK:,} creates: {name}", f"after {FIRST_LOOK:,}"
            yield Figure(what, last.megabytes, "MB", "as before", first[name].megabytes, beside)


def _per_second(found: Measured, watcher: Watcher, clients: int, number: int) -> float:
    return creates_per_second(found, watcher, clients, number)  # type: ignore[arg-type]


def _latency(connection: HTTPConnection, watcher: Watcher) -> float:
    return statistics.median(timed(connection, watcher)[1] for _ in range(100))


def _spent(before: dict[str, Use], after: dict[str, Use], creates: int) -> Iterator[Figure]:
    for name, use in after.items():
        yield Figure(f"CPU of {creates:,} creates: {name}", use.seconds - before[name].seconds, "s", "-", None, "")
    for name, use in after.items():
        each = (use.statements - before[name].statements) / creates
        yield Figure(f"SQL statements of a create: {name}", each, "", "-", None, "what comes round is in it")


def _restart(found: Measured, watcher: Watcher) -> Iterator[Figure]:
    """The volume service with its thousands of volumes is killed while creates are under way."""

    def one() -> None:
        with closing(found.connect()) as connection:
            create(connection, watcher)

    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        under_way = [threads.submit(one) for _ in range(IN_FLIGHT)]
        time.sleep(0.2)
        service = found.fleet.volumes[0]
        service.kill()
        began = time.monotonic()
        service.start()
        service.wait()
        serves = time.monotonic() - began
        for each in under_way:
            each.result(PATIENCE)
        ended = time.monotonic() - began
    what = f"with {2 * MANY:,} volumes, {IN_FLIGHT} creates under way"
    yield Figure(f"volumed-volume killed {what}: serves again after", serves, "s", "< 2", None, "")
    yield Figure("and all have ended after", ended, "s", "< 10", None, "")

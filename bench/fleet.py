"""A fleet of one node beside the embedded mode, in one run: what broker, database server and processes cost.

All of it is on this machine: RabbitMQ, PostgreSQL (with its commits on disk), API, scheduler, volume service with one
backend. A client knows the end from the database, so that waiting costs the services nothing.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import psutil
import psycopg

from bench.creates import Watcher, create, creates_per_second, timed
from bench.daemon import PATIENCE, running
from bench.figure import Figure
from demo.fleet import fleet_in
from demo.fleet_parts import Fleet, Service
from tests.lab import postgresql, rabbitmq

#: Seconds between two looks into the database.
LOOK = 0.005

#: Creates after which memory is looked at, first and last.
FEW, MANY = 1_000, 5_000

#: Creates under way when the volume service is killed.
IN_FLIGHT = 50


class Measured:
    """A running fleet with the face that the measurements of creates want."""

    def __init__(self, fleet: Fleet, dsn: str) -> None:
        self.fleet = fleet
        self.dsn = dsn

    def connect(self) -> HTTPConnection:
        host, _, port = self.fleet.apis[0].url.removeprefix("http://").rpartition(":")
        return HTTPConnection(host, int(port), timeout=PATIENCE)

    def processes(self) -> dict[str, psutil.Process]:
        """Each service's process; of the volume service its backend's."""
        (backend,) = (each for each in psutil.Process(self.fleet.volumes[0].pid).children() if each.name() != "tgtd")
        own: dict[str, Service] = {"api": self.fleet.apis[0], "scheduler": self.fleet.schedulers[0]}
        return {name: psutil.Process(service.pid) for name, service in own.items()} | {"backend": backend}


class FleetWatcher(Watcher):
    """The same of a database server."""

    def __init__(self, measured: Measured) -> None:
        super().__init__(measured)  # type: ignore[arg-type]
        self._dsn = measured.dsn

    def _watch(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as database:
            while not self._stop.wait(LOOK):
                with self._lock:
                    wanted = list(self._waiting)
                if not wanted:
                    continue
                query = "SELECT id FROM volumes WHERE status = 'available' AND id = ANY(%s)"
                for (volume_id,) in database.execute(query, (wanted,)).fetchall():
                    with self._lock:
                        self._waiting.pop(volume_id).set()


@contextmanager
def measured() -> Iterator[Measured]:
    """A fleet in a fresh folder; nothing of it is left."""
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="volumed-bench-")))
        broker = parts.enter_context(rabbitmq.server())
        database = parts.enter_context(postgresql.server())
        vhost = parts.enter_context(broker.access.vhost())
        url = parts.enter_context(database.database())
        fleet = parts.enter_context(fleet_in(folder, vhost.url, url, nodes=1, others=1, backends=("disk",)))
        fleet.start()
        yield Measured(fleet, url.replace("postgresql+psycopg", "postgresql"))


def fleet() -> Iterator[Figure]:
    """Latency, throughput, CPU, memory, and a restart in the middle of work."""
    with running() as daemon, Watcher(daemon) as watcher, closing(daemon.connect()) as connection:
        create(connection, watcher)
        embedded = _latency(connection, watcher)
        embedded_eight = creates_per_second(daemon, watcher, clients=8, number=400)
        embedded_many = creates_per_second(daemon, watcher, clients=32, number=320)
    beside = "volumed up, one process on SQLite"
    with measured() as found, FleetWatcher(found) as watcher, closing(found.connect()) as connection:
        create(connection, watcher)
        yield Figure(
            "create to available on a fleet, one client, p50",
            _latency(connection, watcher),
            "ms",
            "ratio < 2.5",
            embedded,
            beside,
        )
        before = {name: sum(process.cpu_times()[:2]) for name, process in found.processes().items()}
        eight = creates_per_second(found, watcher, clients=8, number=FEW)  # type: ignore[arg-type]
        yield Figure("creates/s, 8 clients", eight, "/s", "> 40", embedded_eight, beside, more_is_better=True)
        for name, process in found.processes().items():
            spent = sum(process.cpu_times()[:2]) - before[name]
            yield Figure(f"CPU of {FEW:,} creates: {name}", spent, "s", "-", None, "")
        many = creates_per_second(found, watcher, clients=32, number=640)  # type: ignore[arg-type]
        yield Figure("creates/s, 32 clients", many, "/s", "no fewer", embedded_many, beside, more_is_better=True)
        yield from _memory(found, watcher)
        yield from _restart(found, watcher)


def _latency(connection: HTTPConnection, watcher: Watcher) -> float:
    return statistics.median(timed(connection, watcher)[1] for _ in range(100))


def _memory(found: Measured, watcher: Watcher) -> Iterator[Figure]:
    few = {name: process.memory_info().rss / 1e6 for name, process in found.processes().items()}
    creates_per_second(found, watcher, clients=8, number=MANY - FEW)  # type: ignore[arg-type]
    for name, process in found.processes().items():
        now = process.memory_info().rss / 1e6
        yield Figure(f"resident after {MANY:,} creates: {name}", now, "MB", "as before", few[name], f"after {FEW:,}")


def _restart(found: Measured, watcher: FleetWatcher) -> Iterator[Figure]:
    """The volume service with its thousands of volumes is killed while creates are under way."""
    from concurrent.futures import ThreadPoolExecutor

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
    what = f"with {MANY:,} volumes, {IN_FLIGHT} creates under way"
    yield Figure(f"volumed-volume killed {what}: serves again after", serves, "s", "< 2", None, "")
    yield Figure("and all have ended after", ended, "s", "< 10", None, "")

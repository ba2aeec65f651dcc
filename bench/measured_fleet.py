"""A fleet of one node to be measured, its rows multiplied, and each service's time, memory and statements.

All of it is on this machine: RabbitMQ, PostgreSQL (with its commits on disk), API, scheduler, volume service with one
backend. A client knows the end from the database, so that waiting costs the services nothing.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import psutil
import psycopg

from bench import counted
from bench.creates import Watcher, create
from bench.daemon import PATIENCE
from demo.fleet import fleet_in
from demo.fleet_parts import Fleet
from tests.lab import postgresql, rabbitmq

#: Seconds between two looks into the database.
LOOK = 0.005


@dataclass(frozen=True, slots=True)
class Use:
    """What one service has used so far: seconds of a processor, SQL statements, megabytes that are resident now."""

    seconds: float
    statements: int
    megabytes: float


class Measured:
    """A running fleet with the face that the measurements of creates want."""

    def __init__(self, fleet: Fleet, dsn: str, counts: Path) -> None:
        self.fleet = fleet
        self.dsn = dsn
        self._counts = counts

    def connect(self) -> HTTPConnection:
        host, _, port = self.fleet.apis[0].url.removeprefix("http://").rpartition(":")
        return HTTPConnection(host, int(port), timeout=PATIENCE)

    def use(self) -> dict[str, Use]:
        """Of each service; of the volume service its backend's process."""
        return {name: self._use_of(process) for name, process in self._processes().items()}

    def _processes(self) -> dict[str, psutil.Process]:
        (backend,) = (each for each in psutil.Process(self.fleet.volumes[0].pid).children() if each.name() != "tgtd")
        own = {"api": self.fleet.apis[0], "scheduler": self.fleet.schedulers[0]}
        return {name: psutil.Process(service.pid) for name, service in own.items()} | {"backend": backend}

    def _use_of(self, process: psutil.Process) -> Use:
        times = process.cpu_times()
        statements = counted.statements(self._counts, process.pid)
        return Use(times.user + times.system, statements, process.memory_info().rss / 1e6)

    def multiply(self, number: int, project: str) -> None:
        """Rows of so many volumes of ``project``, no files, copied from one that is made for it."""
        with FleetWatcher(self) as watcher, closing(self.connect()) as connection:
            create(connection, watcher)
        with psycopg.connect(self.dsn) as database:
            _multiply(database, number, project)
        with psycopg.connect(self.dsn, autocommit=True) as database:
            # As a database is that has taken its rows one by one: what a bulk leaves to be done later is done now.
            database.execute("VACUUM ANALYZE")
            database.execute("CHECKPOINT")


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
        counts = folder / "counts"
        counts.mkdir()
        parts.enter_context(counted.into(counts))
        size = {"nodes": 1, "others": 1, "backends": ("disk",), "program": counted.__name__}
        fleet = parts.enter_context(fleet_in(folder, vhost.url, url, **size))
        fleet.start()
        yield Measured(fleet, url.replace("postgresql+psycopg", "postgresql"), counts)


def _multiply(database: "psycopg.Connection[tuple[str, ...]]", number: int, project: str) -> None:
    """Copies of the newest row, a millisecond between two, with the quota and the pool that they use."""
    described = database.execute("SELECT * FROM volumes LIMIT 0").description or ()
    columns = [column.name for column in described]
    changed = {"id": "gen_random_uuid()::text", "project_id": "%(project)s", "created_at": "created_at - 1000 * n"}
    values = ", ".join(changed.get(column, f'"{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    told = {"number": number, "project": project}
    database.execute(
        f"INSERT INTO volumes ({names}) SELECT {values} FROM"  # type: ignore[arg-type]
        " (SELECT * FROM volumes ORDER BY created_at DESC LIMIT 1) AS model, generate_series(1, %(number)s) AS n",
        told,
    )
    database.execute("UPDATE pools SET allocated = allocated + %(number)s, volumes = volumes + %(number)s", told)
    database.execute(
        """INSERT INTO quotas (project_id, resource, in_use, hard_limit, updated_at)
           SELECT %(project)s, resource, %(number)s, NULL, updated_at FROM quotas
           WHERE project_id = 'admin' AND in_use > 0
           ON CONFLICT (project_id, resource) DO UPDATE SET in_use = quotas.in_use + excluded.in_use""",
        told,
    )

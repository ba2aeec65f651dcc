"""Creates: latency of one client, throughput of many, CPU, and what a full project costs.

A client asks by REST and knows the end from the database file, so that waiting costs the server nothing.
"""

import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection

from bench import raw, seed
from bench.daemon import PATIENCE, Daemon, request, running
from bench.figure import Figure, p50

#: Seconds between two looks into the database file.
LOOK = 0.002

BODY = {"volume": {"size": 1}}


class Watcher:
    """Tells clients when their volumes are available, by reading the database file."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._waiting: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, volume_id: str) -> None:
        """Return once the volume is available."""
        arrived = threading.Event()
        with self._lock:
            self._waiting[volume_id] = arrived
        if not arrived.wait(PATIENCE):
            raise RuntimeError(f"volume {volume_id} is not available after {PATIENCE:g} s")

    def _watch(self) -> None:
        with self._daemon.database() as database:
            while not self._stop.wait(LOOK):
                with self._lock:
                    wanted = list(self._waiting)
                # The plus keeps SQLite from walking the index of statuses (sqlite.org/optoverview.html, 6).
                for (volume_id,) in database.execute(
                    "SELECT id FROM volumes WHERE +status = 'available' AND id IN (SELECT value FROM json_each(?))",
                    (json.dumps(wanted),),
                ).fetchall():
                    with self._lock:
                        self._waiting.pop(volume_id).set()


def latency() -> Iterator[Figure]:
    """One client, a create after another."""
    with running() as daemon, Watcher(daemon) as watcher, closing(daemon.connect()) as connection:
        create(connection, watcher)
        posts, ends = _measure(connection, watcher, 100)
        with raw.raw_create(daemon.folder) as work, raw.bare_server(work) as bare:
            yield Figure(
                "create to available, one client, p50", ends, "ms", "< 30", p50(work, 100), "truncate, four commits"
            )
            yield Figure(
                "POST answered, p50", posts, "ms", "< 10", p50(lambda: _post(bare), 100), "bare HTTP server, a commit"
            )


def throughput() -> Iterator[Figure]:
    """8 and 32 clients, and the CPU seconds of 1,000 creates."""
    with running() as daemon, Watcher(daemon) as watcher, raw.raw_create(daemon.folder) as work:
        before = daemon.cpu_seconds()
        eight = creates_per_second(daemon, watcher, clients=8, number=1000)
        spent = daemon.cpu_seconds() - before
        many = creates_per_second(daemon, watcher, clients=32, number=500)
        bare = time.process_time()
        raw_eight = raw.creates_per_second(work, clients=8, number=1000)
        bare = time.process_time() - bare
        raw_many = raw.creates_per_second(work, clients=32, number=500)
    beside = "truncate, four commits, as many threads"
    yield Figure("creates/s, 8 clients", eight, "/s", "> 60", raw_eight, beside, more_is_better=True)
    yield Figure("creates/s, 32 clients", many, "/s", "no fewer", raw_many, beside, more_is_better=True)
    yield Figure("CPU of 1,000 creates, all services", spent, "s", "< 20", bare, "the same raw work")


def full_project(volumes: int = 100_000) -> Iterator[Figure]:
    """A create in a project with many volumes, beside one in an empty project on the same server."""
    with running() as daemon:
        seed.rows_only(daemon, volumes, project="full")
        with Watcher(daemon) as watcher, closing(daemon.connect()) as connection:
            create(connection, watcher, "empty")
            full = statistics.median(timed(connection, watcher, "full")[1] for _ in range(50))
            empty = statistics.median(timed(connection, watcher, "empty")[1] for _ in range(50))
    yield Figure(
        f"create in a project with {volumes:,} volumes, p50",
        full,
        "ms",
        "as empty",
        empty,
        "create in an empty project",
    )


def create(connection: HTTPConnection, watcher: Watcher, project: str = "admin") -> None:
    """One create, to its end."""
    watcher.wait_for(_ask(connection, project))


def _ask(connection: HTTPConnection, project: str) -> str:
    return str(request(connection, "POST", "/volumes", BODY, project=project)["volume"]["id"])


def timed(connection: HTTPConnection, watcher: Watcher, project: str = "admin") -> tuple[float, float]:
    """Milliseconds to the answer and to the end."""
    began = time.perf_counter()
    volume_id = _ask(connection, project)
    answered = time.perf_counter()
    watcher.wait_for(volume_id)
    return (answered - began) * 1000, (time.perf_counter() - began) * 1000


def _measure(connection: HTTPConnection, watcher: Watcher, rounds: int) -> tuple[float, float]:
    taken = [timed(connection, watcher) for _ in range(rounds)]
    return statistics.median(post for post, _ in taken), statistics.median(end for _, end in taken)


def _post(connection: HTTPConnection) -> None:
    connection.request("POST", "/", json.dumps(BODY))
    connection.getresponse().read()


def creates_per_second(daemon: Daemon, watcher: Watcher, clients: int, number: int) -> float:
    """Each client creates and waits, one after another; the time from the first request to the last end."""
    failures: list[Exception] = []
    threads = [
        threading.Thread(target=_client, args=(daemon, watcher, number // clients, failures)) for _ in range(clients)
    ]
    with _timing() as clock:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    return number // clients * clients / clock[0]


def _client(daemon: Daemon, watcher: Watcher, number: int, failures: list[Exception]) -> None:
    try:
        with closing(daemon.connect()) as connection:
            for _ in range(number):
                create(connection, watcher)
    except Exception as error:
        failures.append(error)


@contextmanager
def _timing() -> Iterator[list[float]]:
    """A list that holds the seconds afterwards."""
    clock: list[float] = []
    began = time.monotonic()
    yield clock
    clock.append(time.monotonic() - began)

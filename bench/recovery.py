"""What a restart after ``kill -9`` makes of the operations that were in flight.

They are in flight because the server that accepted them hangs between two steps; the one that ends them is the product.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from bench.creates import BODY, Watcher, creates_per_second
from bench.daemon import Daemon, request, running
from bench.figure import Figure
from bench.waiting import wait_until

FEW, MANY = 50, 1000
HOLDING = ("-m", "bench.holding")

#: A method, a path and a body.
Asked = tuple[str, str, object]


def restart() -> Iterator[Figure]:
    """Some operations of each kind in flight."""
    with running() as daemon:
        with Watcher(daemon) as watcher:
            undisturbed = creates_per_second(daemon, watcher, clients=8, number=FEW * 4)
        with daemon.database() as database:
            volumes = [each for (each,) in database.execute("SELECT id FROM volumes")]
        daemon.stop()
        daemon.start()
        idle = daemon.started_in
        daemon.stop()
        with killed_with(daemon, list(itertools.islice(_of_each_kind(volumes), FEW))) as ended:
            serving, all_ended = ended()
    what = f"{FEW} in flight at kill -9"
    yield Figure(f"serves after, {what}", serving, "s", "< 2", idle, "a start with nothing in flight")
    yield Figure(
        "and all ended after, further",
        all_ended,
        "s",
        "< 5",
        FEW / undisturbed,
        f"{FEW} creates by 8 clients, undisturbed",
    )


def backlog() -> Iterator[Figure]:
    """Many creates in flight: how fast they are ended, counted from the start of the process."""
    with running() as daemon:
        with Watcher(daemon) as watcher:
            undisturbed = creates_per_second(daemon, watcher, clients=8, number=MANY)
        daemon.stop()
        with killed_with(daemon, [("POST", "/volumes", BODY)] * MANY) as ended:
            serving, all_ended = ended()
    what = f"{MANY:,} in flight at kill -9"
    beside = "creates/s of 8 clients, undisturbed"
    yield Figure(
        f"ended/s, {what}", MANY / max(all_ended, 0.001), "/s", ">= half", undisturbed, beside, more_is_better=True
    )
    whole = MANY / (serving + all_ended)
    yield Figure("the same, its start counted", whole, "/s", "-", undisturbed, beside, more_is_better=True)


@contextmanager
def killed_with(daemon: Daemon, asked: Sequence[Asked]) -> Iterator[Callable[[], tuple[float, float]]]:
    """A stopped server's state with all that was asked in flight, and its server killed.

    Yields what starts it again and returns the seconds to serving, and from there to the end of the last.
    """
    holding = Daemon(daemon.folder, HOLDING)
    holding.start()
    try:
        _ask_all(holding, asked)
        if (live := _live(daemon)) != len(asked):
            raise RuntimeError(f"{live} operations are in flight, not {len(asked)}")
    finally:
        holding.kill()

    def ended() -> tuple[float, float]:
        daemon.start()
        began = time.monotonic()
        wait_until(lambda: _live(daemon) == 0)
        taken = time.monotonic() - began
        with daemon.database() as database:
            states = database.execute("SELECT state, count(*) FROM operations GROUP BY state").fetchall()
        if [state for state, _ in states] != ["succeeded"]:
            raise RuntimeError(f"not all have succeeded: {states}")
        return daemon.started_in, taken

    yield ended


def _of_each_kind(volumes: Sequence[str]) -> Iterator[Asked]:
    """Creates, extends, snapshots and deletes by turns, no two of one volume."""
    turns = iter(volumes)
    for one, two, three in zip(turns, turns, turns, strict=False):
        yield "POST", "/volumes", BODY
        yield "POST", f"/volumes/{one}/action", {"os-extend": {"new_size": 2}}
        yield "POST", "/snapshots", {"snapshot": {"volume_id": two}}
        yield "DELETE", f"/volumes/{three}", None


def _ask_all(daemon: Daemon, asked: Sequence[Asked], clients: int = 8) -> None:
    def ask(mine: Sequence[Asked]) -> None:
        with closing(daemon.connect()) as connection:
            for method, path, body in mine:
                request(connection, method, path, body)

    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(ask, asked[first::clients]) for first in range(clients)]:
            done.result()


def _live(daemon: Daemon) -> int:
    with daemon.database() as database:
        (number,) = database.execute("SELECT count(*) FROM operations WHERE live_key IS NOT NULL").fetchone()
    return int(number)

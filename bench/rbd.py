"""The RBD driver on a real cluster of one OSD in memory, beside bare librbd in the same run; and what REST adds.

Each round does the bare work and the driver's, one right after the other, on two pools of the same cluster.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

from bench import seed
from bench.creates import Watcher, create, timed
from bench.daemon import COMMAND, NO_QUOTA, Daemon, request, running
from bench.figure import Figure, milliseconds
from bench.waiting import wait_until
from tests.lab.ceph import cluster
from tests.lab.ceph.cluster import Client
from tests.lab.ceph.group import only
from tests.lab.rbd_backend import RbdBackend
from volumed.driver.interface import SnapshotRef, VolumeRef, unwatched

GIB = 1024**3

ROUNDS = 60

#: Threads at once, and what each does.
AT_ONCE, EACH = 8, 40

#: Images in one pool.
IMAGES = 5000

Deed = Callable[[str], object]


def driver() -> Iterator[Figure]:
    """Create, snapshot, clone and delete: one client, then eight at once."""
    with cluster.own() as own, own.pool() as bare_pool, own.pool() as pool, _bare(bare_pool) as bare:
        ours = Ours(pool)
        taken: dict[str, tuple[list[float], list[float]]] = {}
        for number in range(ROUNDS):
            for name in Bare.DEEDS:
                bare_deed, our_deed = getattr(bare, name), getattr(ours, name)
                both = taken.setdefault(name, ([], []))
                both[0].append(milliseconds(lambda deed=bare_deed, number=number: deed(str(number))))
                both[1].append(milliseconds(lambda deed=our_deed, number=number: deed(str(number))))
        for name, (raw, measured) in taken.items():
            yield Figure(f"rbd {name}, p50", median(measured), "ms", "< 1.3 x", median(raw), "bare librbd")
        for name in Bare.DEEDS:
            raw_rate, rate = _per_second(getattr(bare, name)), _per_second(getattr(ours, name))
            yield Figure(
                f"rbd {name}/s, {AT_ONCE} at once", rate, "/s", "< 1.25 x", raw_rate, "bare librbd", more_is_better=True
            )


def rest() -> Iterator[Figure]:
    """A create by REST on RBD beside one on the file backend, neither exported."""
    with cluster.own() as own, own.pool() as pool:
        with _serving(pool) as daemon:
            on_rbd = _create_latency(daemon)
        with running() as daemon:
            on_files = _create_latency(daemon)
    yield Figure("create to available on RBD, p50", on_rbd, "ms", "raw + 25", on_files, "the file backend")


def images() -> Iterator[Figure]:
    """With thousands of images: a report, a start, and pages of what could be managed."""
    with cluster.own() as own, own.pool() as pool, _bare(pool) as bare, _serving(pool) as daemon:
        with closing(daemon.connect()) as connection:
            seed.rows_only(daemon, IMAGES - 1, "admin")
            daemon.stop()
            _make_images(daemon, bare)
            began = time.monotonic()
            daemon.start()
            what = f"{IMAGES:,} volumes on RBD"
            yield Figure(f"volumed up serves, {what}", daemon.started_in, "s", "< 2", None, "")
        with closing(daemon.connect()) as connection:
            wait_until(lambda: bool(_pools(connection)))
            reported = time.monotonic() - began
            yield Figure(f"its backend is up and has reported, {what}", reported, "s", "< 2", None, "")
            path = f"/manageable_volumes?host={_pools(connection)[0].replace('#', '%23')}&limit=100"
            page = median(milliseconds(lambda: request(connection, "GET", path)) for _ in range(5))
            bare_list = median(milliseconds(lambda: bare.rbd.RBD().list2(bare.ioctx)) for _ in range(5))
            yield Figure(f"page of 100 manageable, {what}", page, "ms", "", bare_list, "librbd lists the names")
        report = Ours(pool)
        report.driver.capabilities()
        measured = median(milliseconds(report.driver.capabilities) for _ in range(5))
        bare_df = median(milliseconds(lambda: _df(bare)) for _ in range(5))
        yield Figure(f"report of capabilities, {what}", measured, "ms", "< 1000", bare_df, "ceph df of librados")


@dataclass
class Bare:
    """librbd and nothing around it."""

    rbd: Any
    cluster: Any
    ioctx: Any

    #: Each is done to what the ones before it made.
    DEEDS = ("create", "snapshot", "clone", "delete", "purge")

    def create(self, name: str) -> None:
        self.rbd.RBD().create(self.ioctx, f"volume-{name}", GIB, order=22)

    def snapshot(self, name: str) -> None:
        with self.rbd.Image(self.ioctx, f"volume-{name}") as image:
            image.create_snap(f"snapshot-{name}")

    def clone(self, name: str) -> None:
        source, snapshot = f"volume-{name}", f"snapshot-{name}"
        self.rbd.RBD().clone(self.ioctx, source, snapshot, self.ioctx, f"volume-{name}-clone", order=22)

    def delete(self, name: str) -> None:
        """As safe as ours: what somebody has open, or has snapshots of, stays."""
        with self.rbd.Image(self.ioctx, f"volume-{name}-clone", read_only=True) as image:
            if list(image.watchers_list()) or list(image.list_snaps()):
                raise RuntimeError("it is needed")
        self.rbd.RBD().trash_move(self.ioctx, f"volume-{name}-clone", 0)

    def purge(self, name: str) -> None:
        (found,) = (each for each in self.rbd.RBD().trash_list(self.ioctx) if each["name"] == f"volume-{name}-clone")
        self.rbd.RBD().trash_remove(self.ioctx, found["id"])


@dataclass
class Ours:
    """The driver on ``client``'s pool."""

    client: Client
    driver: Any = field(init=False)

    def __post_init__(self) -> None:
        self.driver = RbdBackend(self.client, Path(tempfile.gettempdir()), None).driver()  # type: ignore[arg-type]
        self.driver.do_setup()

    def create(self, name: str) -> None:
        self.driver.create(self._volume(name))

    def snapshot(self, name: str) -> None:
        self.driver.create_snapshot(self._snapshot(name), False, unwatched)

    def clone(self, name: str) -> None:
        self.driver.create_from_snapshot(self._volume(f"{name}-clone"), self._snapshot(name), unwatched)

    def delete(self, name: str) -> None:
        self.driver.delete(self._volume(f"{name}-clone"))

    def purge(self, name: str) -> None:
        self.driver.purge(self._volume(f"{name}-clone"), unwatched)

    def _volume(self, name: str) -> VolumeRef:
        return VolumeRef(name, 1, self.client.pool)

    def _snapshot(self, name: str) -> SnapshotRef:
        return SnapshotRef(name, self._volume(name), 1)


@contextmanager
def _bare(client: Client) -> Iterator[Bare]:
    import rados
    import rbd

    conf = {"rbd_default_clone_format": "2"}
    with rados.Rados(conffile=client.configuration, rados_id=client.user, conf=conf) as connected:
        with connected.open_ioctx(client.pool) as ioctx:
            yield Bare(rbd, connected, ioctx)


@contextmanager
def _serving(client: Client) -> Iterator[Daemon]:
    with running(COMMAND, NO_QUOTA + only(client) + "max_over_subscription_ratio = 1000000\n") as daemon:
        yield daemon


def _per_second(deed: Deed) -> float:
    """Of ``AT_ONCE`` threads that do the deed on names of their own; bare and ours are called in the same order."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        began = time.monotonic()
        done = [threads.submit(_each, deed, thread) for thread in range(AT_ONCE)]
        for each in done:
            each.result()
        return AT_ONCE * EACH / (time.monotonic() - began)


def _each(deed: Deed, thread: int) -> None:
    for number in range(EACH):
        deed(f"{thread}-at-once-{number}")


def _create_latency(daemon: Daemon) -> float:
    with Watcher(daemon) as watcher, closing(daemon.connect()) as connection:
        create(connection, watcher)
        return median(timed(connection, watcher)[1] for _ in range(100))


def _make_images(daemon: Daemon, bare: Bare) -> None:
    """The images of all rows, as the one that the service made."""
    with daemon.database() as database:
        ids = [found for (found,) in database.execute("SELECT id FROM volumes")]
    there = set(bare.rbd.RBD().list(bare.ioctx))
    (model,) = there
    with bare.rbd.Image(bare.ioctx, model, read_only=True) as image:
        mark = dict(image.metadata_list())

    def make(volume_id: str) -> None:
        if f"volume-{volume_id}" not in there:
            bare.create(volume_id)
            with bare.rbd.Image(bare.ioctx, f"volume-{volume_id}") as image:
                for key, value in {**mark, "volumed.volume": volume_id}.items():
                    image.metadata_set(key, value)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(make, ids))


def _pools(connection: HTTPConnection) -> list[str]:
    """Names of the pools that were reported since the start."""
    return [str(each["name"]) for each in request(connection, "GET", "/scheduler-stats/get_pools")["pools"]]


def _df(bare: Bare) -> None:
    bare.cluster.mon_command(json.dumps({"prefix": "df", "format": "json"}), b"")

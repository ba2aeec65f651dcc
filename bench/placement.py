"""Placement among 1,000 pools, beside the raw cost: a bare loop that computes every pool's free capacity.

Run: python -m bench.placement
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from uuid import uuid4

from volumed import conf
from volumed.db import services, tables
from volumed.db.engine import Database
from volumed.scheduler import plugins
from volumed.scheduler.fleet import Fleet
from volumed.scheduler.placement import decide
from volumed.scheduler.pools import Pool, Report, ReportedPools
from volumed.scheduler.reports import read
from volumed.scheduler.request import PlacementRequest

#: Milliseconds that a placement may take.
LIMIT = 5.0


def reports(count: int) -> list[Report]:
    """Reports of ``count`` pools, ten of each backend; every second pool is thin, every third too small."""
    return [read(_host(number), _report(number)) for number in range(count // 10)]


def _host(number: int) -> str:
    return f"node{number:03}@backend"


def _report(number: int) -> dict[str, object]:
    return {
        "service_name": "backend",
        "host": _host(number),
        "incarnation": "1",
        "sequence": 1,
        "availability_zone": "nova",
        "driver": "file",
        "storage_protocol": "iSCSI",
        "vendor_name": "volumed",
        "driver_version": "1.0",
        "online_extend_support": False,
        "multiattach": False,
        "snapshot_attached_support": True,
        "pools": [_pool(number * 10 + each) for each in range(10)],
    }


def _pool(number: int) -> dict[str, object]:
    return {
        "name": f"pool{number}",
        "storage_id": f"storage{number}",
        "total_gib": 5.0 if number % 3 == 0 else 1000.0 + number,
        "free_gib": 5.0 if number % 3 == 0 else 900.0,
        "foreign_gib": 10.0 if number % 3 else 0.0,
        "reserved_percentage": 5,
        "max_over_subscription_ratio": 20.0,
        "thin_provisioning": number % 2 == 0,
        "features": {"compression": number % 5 != 0},
    }


def known_fleet(database: Database, count: int) -> Fleet:
    """A fleet of that many pools, with the rows of services and pools in ``database``."""
    tables.METADATA.create_all(database.engine)
    reported = ReportedPools(lifetime=3600)
    for report in reports(count):
        reported.keep(report)
        database.write(
            services.register, str(uuid4()), "volumed-volume", report.backend, "volumed-volume", "nova", "1", "1.4"
        )
    return Fleet(database, reported, down_time=3600)


def raw(found: Sequence[Pool], size: int) -> Pool | None:
    """The least that any scheduler must do: compute what each pool has left and keep the one with most."""
    best, most = None, -1.0
    for pool in found:
        left = (pool.total - pool.reserved - pool.foreign) * pool.ratio - pool.allocated  # type: ignore[operator]
        if left >= size and left > most:
            best, most = pool, left
    return best


def read_again(fleet: Fleet) -> Sequence[Pool]:
    fleet.expire()
    return fleet.pools()


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """The median of ``rounds`` runs."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    loaded = conf.load()
    filters, weighers = plugins.load_filters(loaded), plugins.load_weighers(loaded)
    request = PlacementRequest(size=20, availability_zone="nova", extra_specs={"compression": "<is> True"})
    with tempfile.TemporaryDirectory() as folder, closing(Database(f"sqlite:///{folder}/bench.sqlite")) as database:
        fleet = known_fleet(database, options.pools)
        found = fleet.pools()
        bare = milliseconds(lambda: raw(found, request.size), options.rounds)
        ours = milliseconds(lambda: decide(request, fleet.pools(), filters, weighers).record(), options.rounds)
        rows = milliseconds(lambda: read_again(fleet), options.rounds)
    print(
        f"placement among {len(found)} pools, each explained: {ours:.2f} ms (limit {LIMIT:g} ms); "
        f"raw loop over the same pools: {bare:.2f} ms; ratio {ours / bare:.1f}"
    )
    print(f"reading the rows of {len(found)} pools again, once a second while there is work: {rows:.2f} ms")
    return 0 if ours < LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())

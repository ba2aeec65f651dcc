"""Placement among 1,000 pools, as a figure."""

import tempfile
from collections.abc import Iterator
from contextlib import closing

from bench import placement
from bench.figure import Figure, p50
from volumed import conf
from volumed.db.engine import Database
from volumed.scheduler import plugins
from volumed.scheduler.placement import decide
from volumed.scheduler.request import PlacementRequest


def among_many(pools: int = 1000) -> Iterator[Figure]:
    """One explained decision."""
    loaded = conf.load()
    filters, weighers = plugins.load_filters(loaded), plugins.load_weighers(loaded)
    request = PlacementRequest(size=20, availability_zone="nova", extra_specs={"compression": "<is> True"})
    with tempfile.TemporaryDirectory() as folder, closing(Database(f"sqlite:///{folder}/bench.sqlite")) as database:
        fleet = placement.known_fleet(database, pools)
        found = fleet.pools()
        ours = p50(lambda: decide(request, fleet.pools(), filters, weighers).record(), 100)
        bare = p50(lambda: placement.raw(found, request.size), 100)
    yield Figure(f"placement among {pools:,} pools, p50", ours, "ms", "< 5", bare, "a loop over free space")

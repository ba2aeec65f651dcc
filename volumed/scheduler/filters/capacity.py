"""The volume must fit: into what volumed may allocate of the pool, and, where it is thin, into what is really free.

A thin pool may promise ``ratio`` GiB for each real one. Its real space must bear that as well: what is free beyond the
reserve, times the ratio, must reach the volume's size (as Cinder has it). A thick pool's use is exactly what is
allocated on it and what strangers use, so its last report of free space, which is older, adds nothing.
"""

from math import floor, isinf
from typing import Any

from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest


class CapacityFilter:
    name = "CapacityFilter"

    def __init__(self, options: Any) -> None:
        pass

    def passes(self, request: PlacementRequest, pool: Pool) -> str | None:
        ceiling = pool.ceiling
        if not isinf(ceiling) and pool.allocated + request.size > floor(ceiling):
            return _over_ceiling(request, pool)
        is_thin = pool.ratio > 1 or pool.capabilities.get("thin_provisioning_support")
        if is_thin and pool.free is not None and (pool.free - pool.reserved) * pool.ratio < request.size:
            return f"({pool.free:.2f} free - {pool.reserved:.2f} reserved) x {pool.ratio:g} < {request.size} GiB asked"
        return None


def _over_ceiling(request: PlacementRequest, pool: Pool) -> str:
    return (
        f"{pool.allocated} allocated + {request.size} GiB asked > "
        f"({pool.total:.2f} total - {pool.reserved:.2f} reserved - {pool.foreign:.2f} foreign) x {pool.ratio:g}"
    )

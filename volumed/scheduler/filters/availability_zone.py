"""The pool must be in the zone that was asked for, where one was."""

from typing import Any

from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest


class AvailabilityZoneFilter:
    name = "AvailabilityZoneFilter"

    def __init__(self, options: Any) -> None:
        pass

    def passes(self, request: PlacementRequest, pool: Pool) -> str | None:
        if request.availability_zone is None or request.availability_zone == pool.availability_zone:
            return None
        return f"zone {pool.availability_zone!r} != {request.availability_zone!r} asked"

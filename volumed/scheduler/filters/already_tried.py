"""A storage that failed for this request is not tried again, whichever service it is reached through."""

from typing import Any

from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest


class AlreadyTriedFilter:
    name = "AlreadyTriedFilter"

    def __init__(self, options: Any) -> None:
        pass

    def passes(self, request: PlacementRequest, pool: Pool) -> str | None:
        if pool.storage_id not in request.tried:
            return None
        return f"storage {pool.storage_id} was tried: {request.tried[pool.storage_id]}"

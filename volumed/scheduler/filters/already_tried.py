"""A storage that failed for this request is not tried again, whichever service it is reached through.

And while one service has still to remove there what an earlier request left of the volume, no other service makes it
there: what the one removes has the name of what the other makes.
"""

from typing import Any

from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest


class AlreadyTriedFilter:
    name = "AlreadyTriedFilter"

    def __init__(self, options: Any) -> None:
        pass

    def passes(self, request: PlacementRequest, pool: Pool) -> str | None:
        if pool.storage_id in request.tried:
            return f"storage {pool.storage_id} was tried: {request.tried[pool.storage_id]}"
        for storage_id, service in request.left_behind:
            if storage_id == pool.storage_id and service != pool.backend:
                return f"{service} has still to remove from storage {storage_id} what an earlier attempt left there"
        return None

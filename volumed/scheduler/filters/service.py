"""A pool takes nothing while its service is disabled or down; always active."""

from typing import Any

from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest


class ServiceFilter:
    name = "ServiceFilter"

    def __init__(self, options: Any) -> None:
        pass

    def passes(self, request: PlacementRequest, pool: Pool) -> str | None:
        return pool.unavailable

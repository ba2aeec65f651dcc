"""Prefers the pool with the most space left to allocate; a negative multiplier fills pools up one after another."""

from math import isinf
from typing import Any

from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest


class CapacityWeigher:
    name = "CapacityWeigher"

    def __init__(self, options: Any) -> None:
        self.multiplier: float = options.capacity_weight_multiplier

    def weigh(self, request: PlacementRequest, pool: Pool) -> float | None:
        free = pool.free_virtual
        return None if isinf(free) else free

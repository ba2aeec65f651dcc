"""Looks at how many volumes a storage has; with its negative default multiplier it spreads them."""

from typing import Any

from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest


class VolumeNumberWeigher:
    name = "VolumeNumberWeigher"

    def __init__(self, options: Any) -> None:
        self.multiplier: float = options.volume_number_multiplier

    def weigh(self, request: PlacementRequest, pool: Pool) -> float | None:
        return pool.volumes

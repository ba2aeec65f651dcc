"""A copy is made where its source is: a driver cannot read another backend's volume; always active."""

from typing import Any

from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest


class SourceFilter:
    name = "SourceFilter"

    def __init__(self, options: Any) -> None:
        pass

    def passes(self, request: PlacementRequest, pool: Pool) -> str | None:
        if request.source_host is None or request.source_host == pool.host:
            return None
        return f"the source is on {request.source_host}"

"""Pools, as the schedulers know them from the backends' reports."""

from typing import Any

import falcon

from volumed.api import answers, microversions
from volumed.api.policies import pools as policies
from volumed.api.request import ApiRequest
from volumed.api.schemas.fields import is_true
from volumed.api.tier import Tier
from volumed.db import volume_types


class Pools:
    """``GET /scheduler-stats/get_pools``."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        tier = self._tier
        tier.policy.enforce(req.caller, policies.GET_ALL)
        detail = is_true(req.get_param("detail", default="false").lower())
        found = tier.scheduler.get_pools(req.caller, self._filters(req))
        told = [
            {"name": pool["name"], "capabilities": pool["capabilities"]} if detail else {"name": pool["name"]}
            for pool in found
        ]
        answers.send(resp, {"pools": told})

    def _filters(self, req: ApiRequest) -> dict[str, Any]:
        """Capabilities that must be equal; those of a type are its extra specs about the backend's name."""
        if req.minor < microversions.POOL_FILTERS:
            return {}
        filters: dict[str, Any] = {key: value for key, value in req.params.items() if key not in {"detail"}}
        kind = filters.pop("volume_type", None)
        if kind is not None and req.minor >= microversions.POOL_TYPE_FILTER:
            with self._tier.database.reading() as tx:
                specs = volume_types.get(tx, str(kind)).extra_specs
            filters |= {key: value for key, value in specs.items() if key == "volume_backend_name"}
        return filters

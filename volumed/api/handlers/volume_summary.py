"""How many volumes there are, and their GiB."""

from typing import Any

import falcon

from volumed.api import answers, microversions, paging
from volumed.api.policies import volumes as policies
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier
from volumed.db import volumes


class VolumeSummary:
    """``GET /volumes/summary``."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        req.since(microversions.SUMMARY)
        tier = self._tier
        tier.policy.enforce(req.caller, policies.GET_ALL)
        project_id = paging.every_project(req, req.caller, tier.policy.allows(req.caller, policies.ALL_PROJECTS))
        with tier.database.reading() as tx:
            count, size = volumes.sums(tx, project_id)
            told: dict[str, Any] = {"total_count": count, "total_size": size}
            if req.minor >= microversions.SUMMARY_METADATA:
                told["metadata"] = volumes.metadata_of_all(tx, project_id)
        answers.send(resp, {"volume-summary": told})

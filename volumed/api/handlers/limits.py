"""What a project may have and has, as older clients ask for it."""

import falcon

from volumed.api import answers, microversions
from volumed.api.policies import limits as policies
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier
from volumed.db import quota_reports


class Limits:
    """``GET /limits``. There is no limit on the rate of requests."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        tier, project_id = self._tier, req.caller.project_id
        asked = req.get_param("project_id") or req.get_param("tenant_id")
        if (
            asked
            and req.minor >= microversions.LIMITS_OF_PROJECT
            and tier.policy.allows(req.caller, policies.OF_PROJECT)
        ):
            project_id = asked
        tier.policy.enforce(req.caller, policies.GET, project_id)
        with tier.database.reading() as tx:
            found = quota_reports.of_project(tx, project_id, tier.settings.quota_defaults)
        absolute = {
            "maxTotalVolumes": found["volumes"].limit,
            "maxTotalSnapshots": found["snapshots"].limit,
            "maxTotalVolumeGigabytes": found["gigabytes"].limit,
            "maxTotalBackups": 0,
            "maxTotalBackupGigabytes": 0,
            "totalVolumesUsed": found["volumes"].in_use,
            "totalSnapshotsUsed": found["snapshots"].in_use,
            "totalGigabytesUsed": found["gigabytes"].in_use,
            "totalBackupsUsed": 0,
            "totalBackupGigabytesUsed": 0,
        }
        answers.send(resp, {"limits": {"rate": [], "absolute": absolute}})

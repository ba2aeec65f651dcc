"""Availability zones: where the volume services are."""

import falcon

from volumed.api import answers
from volumed.api.policies import availability_zones as policies
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier
from volumed.db import services


class AvailabilityZones:
    """``GET /os-availability-zone``."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        self._tier.policy.enforce(req.caller, policies.GET_ALL)
        with self._tier.database.reading() as tx:
            found = services.zones(tx)
        zones = [{"zoneName": zone, "zoneState": {"available": found[zone]}} for zone in sorted(found)]
        answers.send(resp, {"availabilityZoneInfo": zones})

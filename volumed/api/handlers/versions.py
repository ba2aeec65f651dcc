"""Which versions of the API there are."""

from typing import Any

import falcon

from volumed.api import answers, microversions
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier

#: When the newest microversion came, as OpenStack tells it.
UPDATED = "2021-10-06T00:00:00Z"


class Versions:
    """``GET /`` offers a choice of one; ``GET /v3`` shows it."""

    def __init__(self, tier: Tier) -> None:
        self._settings = tier.settings

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        answers.send(resp, {"versions": [self._v3(req)]}, 300)

    def on_get_v3(self, req: ApiRequest, resp: falcon.Response) -> None:
        answers.send(resp, {"versions": [self._v3(req)]})

    def _v3(self, req: ApiRequest) -> dict[str, Any]:
        return {
            "id": "v3.0",
            "status": "CURRENT",
            "version": microversions.spelled(microversions.MAXIMUM),
            "min_version": microversions.spelled(microversions.MINIMUM),
            "updated": UPDATED,
            "links": [
                {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
                {"rel": "self", "href": f"{answers.base_url(req, self._settings)}/v3/"},
            ],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
        }

"""Why a volume is as it is: what holds it, since when, and what it waits for. Not part of OpenStack's API."""

import falcon

from volumed.api import answers
from volumed.api.accept.volumes import project_of
from volumed.api.handlers.services import is_up
from volumed.api.policies import operations as operation_policies
from volumed.api.policies import volumes as policies
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier
from volumed.api.views import why as views
from volumed.api.views.why import Viewer
from volumed.db import holds
from volumed.db.holds import Holds
from volumed.model.errors import NotFound


class Why:
    """See the module. A deleted volume is told of while its operations are kept."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        tier = self._tier
        with tier.database.snapshot() as tx:
            found = holds.of_volume(tx, resource_id)
        owner = _owner(found)
        if owner is None or project_of(req.caller) not in {None, owner}:
            raise NotFound(resource_type="volume", resource_id=resource_id)
        tier.policy.enforce(req.caller, policies.WHY, owner)
        viewer = Viewer(
            sees_hosts=tier.policy.allows(req.caller, policies.HOST),
            sees_queues=tier.policy.allows(req.caller, operation_policies.QUEUE),
            project_id=project_of(req.caller),
            up={
                (service.binary, service.host)
                for service, age in found.services
                if is_up(service, age, tier.settings.service_down_time)
            },
        )
        told = {
            "volume_id": resource_id,
            "status": "deleted" if found.volume is None else found.volume.status,
            "findings": views.findings(found, viewer),
        }
        answers.send(resp, {"why": told})


def _owner(found: Holds) -> str | None:
    """The project of the volume, also of one that is gone."""
    if found.volume is not None:
        return found.volume.project_id
    left = [*([found.ended] if found.ended else []), *found.working]
    return left[0].project_id if left else None

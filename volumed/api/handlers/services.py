"""Services: who reports, and whom the operator has taken out."""

from typing import Any, Final

import falcon

from volumed.api import answers, microversions
from volumed.api.moments import spelled
from volumed.api.policies import services as policies
from volumed.api.request import ApiRequest
from volumed.api.schemas import services as schemas
from volumed.api.tier import Tier
from volumed.db import services
from volumed.db.services import VOLUME_BINARY
from volumed.model.errors import Invalid, NotFound
from volumed.model.host import backend_of
from volumed.model.records import Service

#: What OpenStack's clients call our services; either name finds them.
_ALIASES: Final = {
    "cinder-volume": VOLUME_BINARY,
    "cinder-scheduler": "volumed-scheduler",
    "cinder-api": "volumed-api",
}


class Services:
    """See the module."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get_list(self, req: ApiRequest, resp: falcon.Response) -> None:
        tier = self._tier
        tier.policy.enforce(req.caller, policies.GET_ALL)
        host = req.get_param("host")
        binary = req.get_param("binary") or req.get_param("service")
        with tier.database.reading() as tx:
            found = services.all_with_age(tx)
        told = [
            _view(service, is_up(service, age, tier.settings.service_down_time), req.minor)
            for service, age in found
            if (host is None or host in {service.host, service.host.partition("@")[0]})
            and (binary is None or _ALIASES.get(binary, binary) == service.binary)
        ]
        answers.send(resp, {"services": told})

    def on_put(self, req: ApiRequest, resp: falcon.Response, verb: str) -> None:
        tier = self._tier
        tier.policy.enforce(req.caller, policies.UPDATE)
        if verb not in {"enable", "disable", "disable-log-reason"}:
            raise NotFound(resource_type="action on services", resource_id=verb[:40])
        schema = schemas.DISABLE_WITH_REASON if verb == "disable-log-reason" else schemas.UPDATE
        asked = schema.read(req)
        binary = asked.get("binary") or asked.get("service")
        if not binary:
            raise Invalid(reason="Missing required element 'binary' in request body.")
        disabled = verb != "enable"
        reason = asked.get("disabled_reason") if disabled else None
        changed = tier.database.write(
            services.set_disabled, _ALIASES.get(binary, binary), backend_of(asked["host"]), disabled, reason
        )
        answers.send(resp, _answer(changed))


def is_up(service: Service, age: float, down_time: float) -> bool:
    """Whether the service works: it says so, and said so lately."""
    return service.state == "up" and age <= down_time


def _view(service: Service, up: bool, minor: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "binary": service.binary,
        "host": service.host,
        "zone": service.availability_zone,
        "status": "disabled" if service.disabled else "enabled",
        "state": "up" if up else "down",
        "updated_at": spelled(service.updated_at),
        "disabled_reason": service.disabled_reason,
        "volumed:state": service.state,
        "volumed:state_reason": service.state_reason,
        "volumed:rpc_version": service.rpc_version,
    }
    if service.binary == VOLUME_BINARY:
        told |= {"replication_status": "disabled", "active_backend_id": None, "frozen": False}
        if minor >= microversions.BACKEND_STATE:
            told["backend_state"] = "up" if up else "down"
    if minor >= microversions.CLUSTER:
        told["cluster"] = None
    return told


def _answer(service: Service) -> dict[str, Any]:
    told = {
        "host": service.host,
        "service": service.binary,
        "binary": service.binary,
        "disabled": service.disabled,
        "status": "disabled" if service.disabled else "enabled",
    }
    return told | ({"disabled_reason": service.disabled_reason} if service.disabled else {})

"""The doctor: what differs between rows and backends, and its repair. Not part of OpenStack's API."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import falcon

from volumed.api import answers
from volumed.api.accept import doctor as accepting
from volumed.api.accept.transaction import Reference, accept, recall
from volumed.api.policies import doctor as policies
from volumed.api.request import ApiRequest
from volumed.api.schemas import doctor as schemas
from volumed.api.tier import Tier
from volumed.db import operations, services
from volumed.db.pages import Listing
from volumed.db.services import VOLUME_BINARY
from volumed.model.context import RequestContext
from volumed.model.errors import ServiceUnavailable, VolumedError
from volumed.model.findings import REPAIR, Finding
from volumed.model.records import Json

#: Backends that are asked at the same time at most.
MOST_ASKED = 8


@dataclass(frozen=True, slots=True)
class Examination:
    """``hosts`` were looked at; ``not_looked`` could not be, each with the reason."""

    findings: list[Finding]
    hosts: list[str] = field(default_factory=list)
    not_looked: dict[str, str] = field(default_factory=dict)

    def view(self) -> Json:
        return {
            "findings": [each.as_record() for each in self.findings],
            "looked_at": self.hosts,
            "not_looked_at": [{"host": host, "reason": reason} for host, reason in self.not_looked.items()],
        }


class Doctor:
    """See the module."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        self._tier.policy.enforce(req.caller, policies.LOOK)
        answers.send(resp, {"doctor": self._examine(req.caller).view()})

    def on_post(self, req: ApiRequest, resp: falcon.Response) -> None:
        tier, caller = self._tier, req.caller
        tier.policy.enforce(caller, policies.REPAIR)
        wanted = schemas.REPAIR.read(req)["repair"].get("finding")
        recall(tier, req)
        examined = self._examine(caller)
        repairs = accepting.plan(examined.findings, wanted, examined.hosts)
        if not examined.hosts:
            raise ServiceUnavailable(reason="No backend can be looked at, so nothing can be repaired.")
        accept(tier, req, Reference("repairs", caller.request_id), accepting.repair, caller, wanted, repairs)
        for each in repairs:
            tier.volume.repair(caller, each.host, each.operation_id)
        told = [_view(each.finding.as_record(), each.operation_id) for each in repairs]
        answers.accepted(resp, None, {"doctor": examined.view() | {"repairs": told}})

    def rebuild(self, req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
        """The repairs that the first request asked for."""
        wanted = {"request_id": [reference.resource_id], "kind": [REPAIR]}
        with self._tier.database.reading() as tx:
            listing = Listing(req.caller.project_id, accepting.MOST_REPAIRS, equals=wanted)
            found = operations.page(tx, listing)
        told = [_view(each.args["finding"], each.id) for each in found]
        answers.send(resp, {"doctor": Examination([]).view() | {"repairs": told}})

    def _examine(self, caller: RequestContext) -> Examination:
        """Rows by ourselves, and every backend by its manager; several at once, each bounded in time."""
        with self._tier.database.reading() as tx:
            known = [each for each in services.all_with_age(tx) if each[0].binary == VOLUME_BINARY]
        down_time = self._tier.settings.service_down_time
        # One that is starting says so itself, and may be up before its row tells it.
        alive = [service.host for service, age in known if age <= down_time and service.state != "down"]
        examined = Examination(list(self._tier.rows.look()))
        for service, _ in known:
            if service.host not in alive:
                examined.not_looked[service.host] = service.state_reason or "the service is down"
        with ThreadPoolExecutor(MOST_ASKED, thread_name_prefix="doctor") as asking:
            for host, found in zip(alive, asking.map(lambda host: self._ask(caller, host), alive), strict=True):
                _merge(examined, host, found)
        return examined

    def _ask(self, caller: RequestContext, host: str) -> Sequence[Finding] | str:
        """What the backend's manager finds, or why it could not look."""
        try:
            return [Finding.from_record(each) for each in self._tier.volume.diagnose(caller, host)]
        except VolumedError as error:
            return str(error)


def _merge(examined: Examination, host: str, found: Sequence[Finding] | str) -> None:
    """Backends of one node see the same locks: each difference is told once."""
    if isinstance(found, str):
        examined.not_looked[host] = found
        return
    known = {each.id for each in examined.findings}
    examined.hosts.append(host)
    examined.findings.extend(each for each in found if each.id not in known)


def _view(finding: Json, operation_id: str) -> dict[str, Any]:
    return {"finding": finding, "operation_id": operation_id}

"""What others made on a backend: list it, take it over, and give volumes and snapshots away."""

from typing import Any, Final
from uuid import uuid4

import falcon

from volumed.api import answers, microversions, paging
from volumed.api.accept import manage as accepting
from volumed.api.accept.manage import Found, ManagedSnapshot, ManagedVolume
from volumed.api.accept.transaction import Reference, accept, recall
from volumed.api.accept.volumes import Accepted, project_of
from volumed.api.handlers.volumes import view_of
from volumed.api.policies import manageable as policies
from volumed.api.request import ApiRequest
from volumed.api.schemas import manageable as schemas
from volumed.api.schemas.fields import is_true
from volumed.api.tier import Tier
from volumed.api.views import manageable as views
from volumed.api.views import snapshots as snapshot_views
from volumed.db import services, snapshots, volumes
from volumed.db.services import VOLUME_BINARY
from volumed.model.context import RequestContext
from volumed.model.errors import Invalid, ServiceUnavailable
from volumed.model.host import backend_of, pool_of
from volumed.model.records import Json, Service

_SORT_KEYS: Final = {"reference": "reference", "size": "size"}


class ManageableVolumes:
    """``/manageable_volumes``; older clients POST to ``/os-volume-manage``."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        found = _listed(self._tier, req, policies.LIST_VOLUMES, "volume")
        answers.send(resp, {"manageable-volumes": [views.summary(each, "volume") for each in found]})

    def on_get_detail(self, req: ApiRequest, resp: falcon.Response) -> None:
        found = _listed(self._tier, req, policies.LIST_VOLUMES, "volume")
        answers.send(resp, {"manageable-volumes": [views.detail(each, "volume") for each in found]})

    def on_post(self, req: ApiRequest, resp: falcon.Response) -> None:
        req.since(microversions.MANAGE_LIST)
        self.on_post_older(req, resp)

    def on_post_older(self, req: ApiRequest, resp: falcon.Response) -> None:
        tier, caller = self._tier, req.caller
        tier.policy.enforce(caller, policies.MANAGE)
        asked = schemas.VOLUME.read(req)["volume"]
        recall(tier, req)
        service = _service(tier, asked["host"])
        new = _managed_volume(asked, service)
        found = _measured(tier, caller, "volume", asked["ref"], asked["host"])
        about = Reference("managed volume", new.id)
        made = accept(tier, req, about, accepting.manage, caller, tier.settings, new, found)
        tier.volume.wake_operation(caller, found.host, new.operation_id)
        answers.accepted(resp, new.operation_id, {"volume": view_of(tier, req, [made]).detail(made)})

    def rebuild(self, req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
        """The answer to a POST that was accepted before."""
        with self._tier.database.reading() as tx:
            found = volumes.get_typed(tx, reference.resource_id, project_of(req.caller))
        answers.send(resp, {"volume": view_of(self._tier, req, [found]).detail(found)}, reference.status)


class ManageableSnapshots:
    """``/manageable_snapshots``; older clients POST to ``/os-snapshot-manage``."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        found = _listed(self._tier, req, policies.LIST_SNAPSHOTS, "snapshot")
        answers.send(resp, {"manageable-snapshots": [views.summary(each, "snapshot") for each in found]})

    def on_get_detail(self, req: ApiRequest, resp: falcon.Response) -> None:
        found = _listed(self._tier, req, policies.LIST_SNAPSHOTS, "snapshot")
        answers.send(resp, {"manageable-snapshots": [views.detail(each, "snapshot") for each in found]})

    def on_post(self, req: ApiRequest, resp: falcon.Response) -> None:
        req.since(microversions.MANAGE_LIST)
        self.on_post_older(req, resp)

    def on_post_older(self, req: ApiRequest, resp: falcon.Response) -> None:
        tier, caller = self._tier, req.caller
        tier.policy.enforce(caller, policies.MANAGE_SNAPSHOT)
        asked = schemas.SNAPSHOT.read(req)["snapshot"]
        recall(tier, req)
        with tier.database.reading() as tx:
            host = volumes.get(tx, asked["volume_id"], project_of(caller)).host
        if host is None:
            raise Invalid(reason=f"Invalid volume: volume {asked['volume_id']} is on no backend.")
        _service(tier, host)
        found = _measured(tier, caller, "snapshot", asked["ref"], host)
        new = ManagedSnapshot(
            id=str(uuid4()),
            operation_id=str(uuid4()),
            volume_id=asked["volume_id"],
            name=asked.get("name"),
            description=asked.get("description"),
            metadata=asked.get("metadata") or {},
        )
        about = Reference("managed snapshot", new.id)
        made = accept(tier, req, about, accepting.manage_snapshot, caller, tier.settings, new, found)
        tier.volume.wake_operation(caller, host, new.operation_id)
        answers.accepted(resp, new.operation_id, {"snapshot": snapshot_views.detail(made, req.minor)})

    def rebuild(self, req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
        """The answer to a POST that was accepted before."""
        with self._tier.database.reading() as tx:
            found = snapshots.get(tx, reference.resource_id, project_of(req.caller))
        answers.send(resp, {"snapshot": snapshot_views.detail(found, req.minor)}, reference.status)


def give_away(tier: Tier, req: ApiRequest, resp: falcon.Response, volume_id: str) -> None:
    """Accept that a volume is given away, wake its manager and answer."""
    recall(tier, req)
    with tier.database.reading() as tx:
        host = volumes.get(tx, volume_id, project_of(req.caller)).host
    _refuse_if_unable(tier, req.caller, host)
    about = Reference("nothing", volume_id)
    _wake(tier, req, resp, accept(tier, req, about, accepting.unmanage, req.caller, volume_id, str(uuid4())))


def give_snapshot_away(tier: Tier, req: ApiRequest, resp: falcon.Response, snapshot_id: str) -> None:
    """The same of a snapshot."""
    recall(tier, req)
    with tier.database.reading() as tx:
        volume_id = snapshots.get(tx, snapshot_id, project_of(req.caller)).volume_id
        host = volumes.get(tx, volume_id).host
    _refuse_if_unable(tier, req.caller, host)
    about = Reference("nothing", snapshot_id)
    accepted = accept(tier, req, about, accepting.unmanage_snapshot, req.caller, snapshot_id, str(uuid4()))
    _wake(tier, req, resp, accepted)


def _wake(tier: Tier, req: ApiRequest, resp: falcon.Response, accepted: Accepted) -> None:
    if accepted.host is not None and accepted.operation_id is not None:
        tier.volume.wake_operation(req.caller, accepted.host, accepted.operation_id)
    answers.accepted(resp, accepted.operation_id)


def _refuse_if_unable(tier: Tier, caller: RequestContext, host: str | None) -> None:
    """Whoever gives away is told at once where the driver cannot: a bounded question, 503 when nobody answers."""
    if host is not None and not tier.volume.can_manage(caller, host):
        raise Invalid(
            reason=f"Invalid input received: the driver of {backend_of(host)} can manage and unmanage nothing."
        )


def _listed(tier: Tier, req: ApiRequest, rule: str, resource_type: str) -> list[Json]:
    req.since(microversions.MANAGE_LIST)
    tier.policy.enforce(req.caller, rule)
    host = req.get_param("host")
    if not host:
        raise Invalid(reason="Invalid input received: the query must have host: host@backend, or host@backend#pool.")
    page = paging.listing_of(req, tier.settings, _SORT_KEYS, None)
    sort = [f"{key}:{'desc' if descends else 'asc'}" for key, descends in page.sort if key in _SORT_KEYS]
    _service(tier, host)
    return tier.volume.list_manageable(
        req.caller, host, resource_type, sort=sort, marker=page.marker, offset=page.offset, limit=page.limit
    )


def _service(tier: Tier, host: str) -> Service:
    """The service that has the place. Raises ``NotFound``, ``ServiceUnavailable`` with the reason, ``Invalid``."""
    backend = backend_of(host)
    with tier.database.reading() as tx:
        service, age = services.find_with_age(tx, VOLUME_BINARY, backend)
    if age > tier.settings.service_down_time or service.state == "down":
        raise ServiceUnavailable(reason=f"{backend} is down: {service.state_reason or 'it does not report'}")
    if service.disabled:
        raise Invalid(reason=f"Invalid input received: {backend} is disabled: {service.disabled_reason or 'no reason'}")
    return service


def _measured(tier: Tier, caller: RequestContext, resource_type: str, asked: Any, host: str) -> Found:
    reference = {"source-name": asked} if isinstance(asked, str) else asked
    found = tier.volume.measure_manageable(caller, host, resource_type, reference, pool_of(host))
    return Found(reference, int(found["size"]), str(found["host"]), str(found["storage_id"]))


def _managed_volume(asked: dict[str, Any], service: Service) -> ManagedVolume:
    zone = asked.get("availability_zone") or service.availability_zone
    if zone != service.availability_zone:
        raise Invalid(
            reason=f"Invalid input received: Availability zone '{zone}' is invalid: {service.host} is in "
            f"'{service.availability_zone}'."
        )
    return ManagedVolume(
        id=str(uuid4()),
        operation_id=str(uuid4()),
        zone=zone,
        name=asked.get("name"),
        description=asked.get("description"),
        volume_type=asked.get("volume_type") or None,
        bootable=is_true(asked.get("bootable")),
        metadata=asked.get("metadata") or {},
    )

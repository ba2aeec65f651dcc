"""Volumes: create, list, show, update, delete."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

import falcon

from volumed.api import answers, microversions, paging
from volumed.api.accept import volumes as accepting
from volumed.api.accept.transaction import Reference, accept
from volumed.api.accept.volumes import NewVolume, Removal, project_of
from volumed.api.filters import volumes as filters
from volumed.api.policies import volumes as policies
from volumed.api.request import ApiRequest
from volumed.api.schemas import volumes as schemas
from volumed.api.schemas.fields import is_true
from volumed.api.tier import Tier
from volumed.api.views.volumes import VolumeView
from volumed.db import attachments, services, volumes
from volumed.db.volumes import TypedVolume
from volumed.model.errors import Invalid, InvalidField
from volumed.model.host import backend_of

#: Fields of a create that ask for what this release has not.
_NOT_HERE: Final = {
    "imageRef": "images",
    "image_id": "images",
    "backup_id": "backups",
    "group_id": "groups",
    "consistencygroup_id": "consistency groups",
    "source_replica": "replication",
}


class Volumes:
    """See the module."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_post(self, req: ApiRequest, resp: falcon.Response) -> None:
        tier, caller = self._tier, req.caller
        tier.policy.enforce(caller, policies.CREATE)
        strict = req.minor >= microversions.SCHEMAS_STRICT
        new = _new_volume((schemas.CREATE if strict else schemas.CREATE_LENIENT).read(req)["volume"])
        made = accept(tier, req, Reference("volume", new.id), accepting.create, caller, tier.settings, new)
        tier.scheduler.create_volume(caller, new.id, new.operation_id)
        answers.accepted(resp, new.operation_id, {"volume": self._view(req, [made]).detail(made)})

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        found, extra = self._page(req, "volumes")
        view = self._view(req, ())
        answers.send(resp, {"volumes": [view.summary(each) for each in found], **extra})

    def on_get_detail(self, req: ApiRequest, resp: falcon.Response) -> None:
        found, extra = self._page(req, "volumes/detail")
        with self._tier.database.reading() as tx:
            attached = attachments.of_volumes(tx, [each.volume.id for each in found])
        view = self._view(req, found)
        told = [view.detail(each, attached.get(each.volume.id, ())) for each in found]
        answers.send(resp, {"volumes": told, **extra})

    def on_get_one(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        self._send(req, resp, resource_id)

    def on_put_one(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        strict = req.minor >= microversions.SCHEMAS_STRICT
        asked = (schemas.UPDATE if strict else schemas.UPDATE_LENIENT).read(req)["volume"]
        with self._tier.database.reading() as tx:
            volume = volumes.get(tx, resource_id, project_of(req.caller))
        self._tier.policy.enforce(req.caller, policies.UPDATE, volume.project_id)
        changes = named(asked)
        if asked.get("metadata") is not None:
            changes["metadata"] = asked["metadata"]
        if changes:
            self._tier.database.write(lambda tx: volumes.change(tx, resource_id, **changes))
        self._send(req, resp, resource_id)

    def on_delete_one(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        tier, caller = self._tier, req.caller
        force = req.minor >= microversions.DELETE_FORCE and _flag(req, "force")
        with tier.database.reading() as tx:
            volume = volumes.get(tx, resource_id, project_of(caller))
        tier.policy.enforce(caller, policies.FORCE_DELETE if force else policies.DELETE, volume.project_id)
        removal = Removal(resource_id, str(uuid4()), force=force, cascade=_flag(req, "cascade"))
        remove(tier, req, resp, removal)

    def rebuild(self, req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
        """The answer to a create that was accepted before."""
        self._send(req, resp, reference.resource_id)

    def _send(self, req: ApiRequest, resp: falcon.Response, volume_id: str) -> None:
        with self._tier.database.reading() as tx:
            found = volumes.get_typed(tx, volume_id, project_of(req.caller))
            attached = attachments.of_volume(tx, volume_id)
        self._tier.policy.enforce(req.caller, policies.GET, found.volume.project_id)
        answers.send(resp, {"volume": self._view(req, [found]).detail(found, attached)})

    def _page(self, req: ApiRequest, collection: str) -> tuple[list[TypedVolume], dict[str, Any]]:
        tier = self._tier
        tier.policy.enforce(req.caller, policies.GET_ALL)
        listing = filters.listing(req, tier.settings, tier.policy.allows(req.caller, policies.ALL_PROJECTS))
        with tier.database.reading() as tx:
            found = volumes.page(tx, paging.more_than(listing))
            count = volumes.count(tx, listing) if paging.wants_count(req) else None
        shown = found[: listing.limit]
        extra: dict[str, Any] = {} if count is None else {"count": count}
        if shown:
            following = paging.next_link(req, tier.settings, collection, found, listing, shown[-1].volume.id)
            extra |= {"volumes_links": following} if following else {}
        return shown, extra

    def _view(self, req: ApiRequest, shown: Sequence[TypedVolume]) -> VolumeView:
        return view_of(self._tier, req, shown)


def view_of(tier: Tier, req: ApiRequest, shown: Sequence[TypedVolume]) -> VolumeView:
    """How the caller sees the volumes."""
    service_ids: dict[str, str] = {}
    if req.minor >= microversions.SERVICE_OF_VOLUME:
        hosts = {backend_of(each.volume.host) for each in shown if each.volume.host is not None}
        if hosts:
            with tier.database.reading() as tx:
                service_ids = services.ids_of(tx, hosts)
    shows_host = tier.policy.allows(req.caller, policies.HOST)
    url = answers.resource_url(req, tier.settings, "volumes")
    return VolumeView(url, req.minor, shows_host, service_ids)


def remove(tier: Tier, req: ApiRequest, resp: falcon.Response, removal: Removal) -> None:
    """Accept a delete, wake its manager and answer."""
    about = Reference("nothing", removal.volume_id)
    accepted = accept(tier, req, about, accepting.delete, req.caller, tier.settings, removal)
    if accepted.host is not None and accepted.cancels is not None:
        tier.volume.cancel_operation(req.caller, accepted.host, accepted.cancels)
    elif accepted.host is not None and accepted.operation_id is not None:
        tier.volume.delete_volume(req.caller, accepted.host, removal.volume_id, accepted.operation_id)
    answers.accepted(resp, accepted.operation_id)


def named(asked: dict[str, Any]) -> dict[str, Any]:
    """Name and description under either of the names that OpenStack gives them."""
    found: dict[str, Any] = {}
    for ours in ("name", "description"):
        for theirs in (f"display_{ours}", ours):
            if theirs in asked:
                found[ours] = asked[theirs]
    return found


def _new_volume(asked: dict[str, Any]) -> NewVolume:
    for name, what in _NOT_HERE.items():
        if asked.get(name):
            raise InvalidField(field=f"volume/{name}", reason=f"volumes from {what} are not supported by this release")
    if asked.get("snapshot_id") and asked.get("source_volid"):
        raise Invalid(
            reason="Invalid input received: May specify only one of snapshot_id, imageRef or source volume: "
            "snapshot_id and source_volid are both given."
        )
    named_fields = named(asked)
    return NewVolume(
        id=str(uuid4()),
        operation_id=str(uuid4()),
        size=None if asked.get("size") is None else int(asked["size"]),
        name=named_fields.get("name"),
        description=named_fields.get("description"),
        volume_type=asked.get("volume_type") or None,
        availability_zone=asked.get("availability_zone") or None,
        snapshot_id=asked.get("snapshot_id"),
        source_volid=asked.get("source_volid"),
        multiattach=is_true(asked.get("multiattach")),
        metadata=asked.get("metadata") or {},
    )


def _flag(req: ApiRequest, name: str) -> bool:
    text = req.get_param(name, default="false").lower()
    if text not in {"true", "false", "1", "0", "t", "f", "yes", "no", "on", "off"}:
        raise Invalid(reason=f"Invalid value {text[:20]!r} for {name}. It must be a boolean.")
    return is_true(text)

"""Volume types and their extra specs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import falcon
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from volumed.api import answers, microversions, paging
from volumed.api.accept.transaction import Reference, accept
from volumed.api.policies import types as policies
from volumed.api.request import ApiRequest
from volumed.api.schemas import types as schemas
from volumed.api.schemas.fields import is_true
from volumed.api.tier import Tier
from volumed.db import volume_types
from volumed.model.errors import Conflict, Invalid, InvalidField, NotFound
from volumed.model.records import VolumeType

_SORT_KEYS: Final = {"id": "id", "name": "name", "created_at": "created_at", "updated_at": "updated_at"}

Specs = dict[str, str]


class Types:
    """See the module."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        tier = self._tier
        tier.policy.enforce(req.caller, policies.GET_ALL)
        listing = paging.listing_of(req, tier.settings, _SORT_KEYS, None)
        listing = replace(listing, equals=self._public_filter(req) | paging.equals(req, {"name": "name"}))
        if req.minor >= microversions.TYPE_FILTER_BY_SPECS:
            listing = replace(listing, specs=paging.pairs(req, "extra_specs"))
        with tier.database.reading() as tx:
            found = volume_types.page(tx, paging.more_than(listing))
        shown = found[: listing.limit]
        body: dict[str, Any] = {"volume_types": [self._view(req, each) for each in shown]}
        if shown and (following := paging.next_link(req, tier.settings, "types", found, listing, shown[-1].id)):
            body["volume_type_links"] = following
        answers.send(resp, body)

    def on_post(self, req: ApiRequest, resp: falcon.Response) -> None:
        self._tier.policy.enforce(req.caller, policies.CREATE)
        asked = schemas.CREATE.read(req)["volume_type"]
        public = [asked.get(key) for key in ("os-volume-type-access:is_public", "is_public")]
        values = {
            "description": asked.get("description"),
            "is_public": all(each is None or is_true(each) for each in public),
            "extra_specs": asked.get("extra_specs") or {},
        }
        type_id = str(uuid4())

        def add(tx: Connection) -> VolumeType:
            _refuse_taken_name(lambda: volume_types.add(tx, type_id, asked["name"], **values), asked["name"])
            return volume_types.get(tx, type_id)

        made = accept(self._tier, req, Reference("volume type", type_id, 200), add)
        answers.send(resp, {"volume_type": self._view(req, made)})

    def on_get_one(self, req: ApiRequest, resp: falcon.Response, type_id: str) -> None:
        answers.send(resp, {"volume_type": self._view(req, self._known(req, type_id, policies.GET))})

    def on_put_one(self, req: ApiRequest, resp: falcon.Response, type_id: str) -> None:
        known = self._known(req, type_id, policies.UPDATE)
        asked = schemas.UPDATE.read(req)["volume_type"]
        changes = {key: value for key, value in asked.items() if key == "description" or value is not None}
        if "is_public" in changes:
            changes["is_public"] = is_true(asked["is_public"])
        self._tier.database.write(_rename, self._tier.settings.default_volume_type, known.id, changes)
        answers.send(resp, {"volume_type": self._view(req, self._known(req, known.id, policies.GET))})

    def on_delete_one(self, req: ApiRequest, resp: falcon.Response, type_id: str) -> None:
        known = self._known(req, type_id, policies.DELETE)
        if known.name == self._tier.settings.default_volume_type:
            raise Invalid(reason=f"Volume type {known.name} is the default one and cannot be deleted.")
        self._tier.database.write(_remove, known)
        resp.status = 202

    def rebuild(self, req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
        """The answer to a create that was accepted before."""
        found = self._known(req, reference.resource_id, policies.GET)
        answers.send(resp, {"volume_type": self._view(req, found)})

    def _known(self, req: ApiRequest, reference: str, rule: str) -> VolumeType:
        self._tier.policy.enforce(req.caller, rule)
        wanted = self._tier.settings.default_volume_type if reference == "default" else reference
        with self._tier.database.reading() as tx:
            found = volume_types.get(tx, wanted)
        if not found.is_public and not self._tier.policy.allows(req.caller, policies.PRIVATE):
            raise NotFound(resource_type="volume type", resource_id=reference)
        return found

    def _public_filter(self, req: ApiRequest) -> dict[str, Any]:
        """Administrators see public types unless they ask for the others (``is_public=None``: for all)."""
        asked = req.get_param("is_public")
        if not self._tier.policy.allows(req.caller, policies.PRIVATE) or asked is None:
            return {"is_public": [True]}
        return {} if asked.lower() == "none" else {"is_public": [is_true(asked.lower())]}

    def _view(self, req: ApiRequest, kind: VolumeType) -> dict[str, Any]:
        told: dict[str, Any] = {
            "id": kind.id,
            "name": kind.name,
            "description": kind.description,
            "is_public": kind.is_public,
            "os-volume-type-access:is_public": kind.is_public,
        }
        if self._tier.policy.allows(req.caller, policies.SPECS_READ):
            told |= {"extra_specs": kind.extra_specs, "qos_specs_id": None}
        return told


class ExtraSpecs:
    """What a type asks of a pool. Volumes that have the type keep their place when it changes."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response, type_id: str) -> None:
        answers.send(resp, {"extra_specs": self._specs(req, type_id, policies.SPECS_READ)})

    def on_post(self, req: ApiRequest, resp: falcon.Response, type_id: str) -> None:
        self._tier.policy.enforce(req.caller, policies.SPECS_CREATE)
        asked = schemas.SPECS.read(req)["extra_specs"]
        about = Reference("extra specs", type_id, 200)
        accept(self._tier, req, about, _change_specs, type_id, lambda specs: specs | asked)
        answers.send(resp, {"extra_specs": asked})

    def on_get_one(self, req: ApiRequest, resp: falcon.Response, type_id: str, key: str) -> None:
        specs = self._specs(req, type_id, policies.SPECS_READ)
        if key not in specs:
            raise _absent(type_id, key)
        answers.send(resp, {key: specs[key]})

    def on_put_one(self, req: ApiRequest, resp: falcon.Response, type_id: str, key: str) -> None:
        self._tier.policy.enforce(req.caller, policies.SPECS_UPDATE)
        asked = schemas.SPEC.read(req)
        if key not in asked:
            raise InvalidField(field="body", reason="the key of the body must be the key of the path")
        self._tier.database.write(_change_specs, type_id, lambda specs: specs | asked)
        answers.send(resp, asked)

    def on_delete_one(self, req: ApiRequest, resp: falcon.Response, type_id: str, key: str) -> None:
        self._tier.policy.enforce(req.caller, policies.SPECS_DELETE)

        def without(specs: Specs) -> Specs:
            if key not in specs:
                raise _absent(type_id, key)
            return {name: value for name, value in specs.items() if name != key}

        self._tier.database.write(_change_specs, type_id, without)
        resp.status = 202

    def rebuild(self, req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
        """The answer to a change that was made before."""
        answers.send(resp, {"extra_specs": self._specs(req, reference.resource_id, policies.SPECS_READ)})

    def _specs(self, req: ApiRequest, type_id: str, rule: str) -> Specs:
        self._tier.policy.enforce(req.caller, rule)
        with self._tier.database.reading() as tx:
            return volume_types.get(tx, type_id).extra_specs


def _rename(tx: Connection, default_type: str, type_id: str, changes: dict[str, Any]) -> None:
    volume_types.change(tx, type_id)
    known = volume_types.get(tx, type_id)
    name = changes.get("name", known.name)
    if name != known.name:
        if known.name == default_type:
            raise Invalid(reason=f"Volume type {known.name} is the default one; its name is in the configuration.")
        _refuse_taken_name(lambda: volume_types.change(tx, type_id, name=name), name)
        volume_types.rename_quotas(tx, known.name, name)
    volume_types.change(tx, type_id, **{key: value for key, value in changes.items() if key != "name"})


def _remove(tx: Connection, known: VolumeType) -> None:
    volume_types.change(tx, known.id)
    in_use = Invalid(reason=f"Target volume type {known.id} is still in use.")
    if volume_types.in_use(tx, known.id):
        raise in_use
    try:
        volume_types.remove(tx, known.id)
    except IntegrityError as error:  # a create was quicker
        raise in_use from error
    volume_types.forget_quotas(tx, known.name)


def _change_specs(tx: Connection, type_id: str, change: Callable[[Specs], Specs]) -> None:
    known = volume_types.get(tx, type_id)
    volume_types.change(tx, known.id)
    volume_types.change(tx, known.id, extra_specs=change(volume_types.get(tx, known.id).extra_specs))


def _refuse_taken_name(write: Callable[[], None], name: str) -> None:
    try:
        write()
    except IntegrityError as error:
        raise Conflict(reason=f"Volume Type {name} already exists.") from error


def _absent(type_id: str, key: str) -> NotFound:
    return NotFound(resource_type=f"volume type {type_id} extra spec", resource_id=repr(key))

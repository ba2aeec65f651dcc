"""Quotas of projects, and the defaults of all."""

from collections.abc import Mapping
from typing import Any

import falcon
from sqlalchemy import Connection

from volumed.api import answers
from volumed.api.policies import quota_sets as policies
from volumed.api.request import ApiRequest
from volumed.api.schemas import quota_sets as schemas
from volumed.api.schemas.fields import is_true
from volumed.api.tier import Tier
from volumed.db import quota_reports
from volumed.model.errors import InvalidField, NotFound

#: Fields of an update that say whom it is for, and are in the path.
_NO_RESOURCES = frozenset({"tenant_id", "project_id", "class_name", "id", "force"})


class QuotaSets:
    """See the module."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response, project_id: str) -> None:
        self._tier.policy.enforce(req.caller, policies.SHOW, project_id)
        usage = is_true(req.get_param("usage", default="false").lower())
        with self._tier.database.reading() as tx:
            found = quota_reports.of_project(tx, project_id, self._tier.settings.quota_defaults)
        told: dict[str, Any] = {"id": project_id}
        for name, limit in found.items():
            told[name] = {"in_use": limit.in_use, "limit": limit.limit, "reserved": 0} if usage else limit.limit
        own = self._tier.settings.per_volume_gigabytes
        told["per_volume_gigabytes"] = {"in_use": 0, "limit": own, "reserved": 0} if usage else own
        answers.send(resp, {"quota_set": told})

    def on_put(self, req: ApiRequest, resp: falcon.Response, project_id: str) -> None:
        self._tier.policy.enforce(req.caller, policies.UPDATE, project_id)
        asked = _limits(schemas.UPDATE.read(req)["quota_set"])
        found = self._tier.database.write(self._set, project_id, asked)
        answers.send(resp, {"quota_set": found | {"per_volume_gigabytes": self._tier.settings.per_volume_gigabytes}})

    def on_delete(self, req: ApiRequest, resp: falcon.Response, project_id: str) -> None:
        self._tier.policy.enforce(req.caller, policies.DELETE, project_id)
        self._tier.database.write(quota_reports.drop_limits, project_id)

    def on_get_defaults(self, req: ApiRequest, resp: falcon.Response, project_id: str) -> None:
        self._tier.policy.enforce(req.caller, policies.SHOW, project_id)
        answers.send(resp, {"quota_set": {"id": project_id, **_defaults(self._tier)}})

    def _set(self, tx: Connection, project_id: str, asked: Mapping[str, int]) -> dict[str, int]:
        _refuse_unknown(tx, asked, "quota_set")
        quota_reports.set_limits(tx, project_id, asked)
        found = quota_reports.of_project(tx, project_id, self._tier.settings.quota_defaults)
        return {name: limit.limit for name, limit in found.items()}


class QuotaClassSets:
    """The defaults; there is one class, ``default``."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response, class_name: str) -> None:
        self._tier.policy.enforce(req.caller, policies.CLASS_SHOW)
        _refuse_other_class(class_name)
        answers.send(resp, {"quota_class_set": {"id": class_name, **_defaults(self._tier)}})

    def on_put(self, req: ApiRequest, resp: falcon.Response, class_name: str) -> None:
        self._tier.policy.enforce(req.caller, policies.CLASS_UPDATE)
        _refuse_other_class(class_name)
        asked = _limits(schemas.UPDATE_CLASS.read(req)["quota_class_set"])
        self._tier.database.write(_set_defaults, asked)
        answers.send(resp, {"quota_class_set": _defaults(self._tier)})


def _set_defaults(tx: Connection, asked: Mapping[str, int]) -> None:
    _refuse_unknown(tx, asked, "quota_class_set")
    quota_reports.set_defaults(tx, asked)


def _defaults(tier: Tier) -> dict[str, int]:
    with tier.database.reading() as tx:
        found = quota_reports.defaults(tx, tier.settings.quota_defaults)
    return found | {"per_volume_gigabytes": tier.settings.per_volume_gigabytes}


def _limits(asked: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(limit) for name, limit in asked.items() if name not in _NO_RESOURCES and limit is not None}


def _refuse_unknown(tx: Connection, asked: Mapping[str, int], key: str) -> None:
    unknown = sorted(asked.keys() - set(quota_reports.names(tx)))
    if unknown:
        raise InvalidField(field=f"{key}/{unknown[0]}"[:300], reason="there is no such quota that can be set")


def _refuse_other_class(class_name: str) -> None:
    if class_name != "default":
        raise NotFound(resource_type="quota class", resource_id=class_name)

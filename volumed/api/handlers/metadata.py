"""Metadata of volumes and snapshots: show, add, replace, and one key of it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import falcon
import orjson
from sqlalchemy import Connection

from volumed.api import answers, microversions
from volumed.api.accept.transaction import Reference, accept
from volumed.api.accept.volumes import project_of
from volumed.api.policies import snapshots as snapshot_policies
from volumed.api.policies import volumes as volume_policies
from volumed.api.request import ApiRequest
from volumed.api.schemas import metadata as schemas
from volumed.api.tier import Tier
from volumed.db import snapshots, volumes
from volumed.model.errors import InvalidField, NotFound
from volumed.model.records import Snapshot, Volume

#: Pairs that one resource may have.
MOST_PAIRS = 128

Pairs = dict[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource with metadata: its queries and its rules."""

    resource_type: str
    get: Callable[..., Volume | Snapshot]
    touch: Callable[[Connection, str], None]
    change: Callable[..., None]
    read: str
    write: str
    remove: str


VOLUME = Kind(
    "volume",
    volumes.get,
    volumes.touch,
    volumes.change,
    volume_policies.METADATA_READ,
    volume_policies.METADATA,
    volume_policies.METADATA_DELETE,
)
SNAPSHOT = Kind(
    "snapshot",
    snapshots.get,
    snapshots.touch,
    snapshots.change,
    snapshot_policies.METADATA_READ,
    snapshot_policies.METADATA,
    snapshot_policies.METADATA_DELETE,
)


class Metadata:
    """The metadata of one kind of resource."""

    def __init__(self, tier: Tier, kind: Kind) -> None:
        self._tier = tier
        self._kind = kind

    def on_get(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        self._send(req, resp, self._pairs(req, resource_id))

    def on_post(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        asked = schemas.ALL.read(req)["metadata"]
        self._send(req, resp, self._change(req, resource_id, self._kind.write, lambda pairs: pairs | asked))

    def on_put(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        asked = schemas.ALL.read(req)["metadata"]
        self._send(req, resp, self._change(req, resource_id, self._kind.write, lambda pairs: asked))

    def on_get_one(self, req: ApiRequest, resp: falcon.Response, resource_id: str, key: str) -> None:
        pairs = self._pairs(req, resource_id)
        if key not in pairs:
            raise self._absent(resource_id, key)
        answers.send(resp, {"meta": {key: pairs[key]}})

    def on_put_one(self, req: ApiRequest, resp: falcon.Response, resource_id: str, key: str) -> None:
        asked = schemas.ONE.read(req)["meta"]
        if key not in asked:
            raise InvalidField(field="meta", reason="the key of the body must be the key of the path")
        self._change(req, resource_id, self._kind.write, lambda pairs: pairs | asked)
        answers.send(resp, {"meta": asked})

    def on_delete_one(self, req: ApiRequest, resp: falcon.Response, resource_id: str, key: str) -> None:
        def without(pairs: Pairs) -> Pairs:
            if key not in pairs:
                raise self._absent(resource_id, key)
            return {name: value for name, value in pairs.items() if name != key}

        self._change(req, resource_id, self._kind.remove, without)

    def rebuild(self, req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
        """The answer to a change that was made before."""
        self._send(req, resp, self._pairs(req, reference.resource_id))

    def _pairs(self, req: ApiRequest, resource_id: str) -> Pairs:
        with self._tier.database.reading() as tx:
            found = self._kind.get(tx, resource_id, project_of(req.caller))
        self._tier.policy.enforce(req.caller, self._kind.read, found.project_id)
        return found.metadata

    def _change(self, req: ApiRequest, resource_id: str, rule: str, change: Callable[[Pairs], Pairs]) -> Pairs:
        """Change the pairs in one transaction that has taken the row, so no other change is lost."""
        with self._tier.database.reading() as tx:
            project_id = self._kind.get(tx, resource_id, project_of(req.caller)).project_id
        self._tier.policy.enforce(req.caller, rule, project_id)
        about = Reference(f"{self._kind.resource_type} metadata", resource_id, 200)
        return accept(self._tier, req, about, self._write, req, resource_id, change)

    def _write(self, tx: Connection, req: ApiRequest, resource_id: str, change: Callable[[Pairs], Pairs]) -> Pairs:
        self._kind.touch(tx, resource_id)
        known = self._kind.get(tx, resource_id).metadata
        _refuse_if_stale(req, known)
        pairs = change(known)
        if len(pairs) > MOST_PAIRS:
            raise InvalidField(field="metadata", reason=f"there may be {MOST_PAIRS} pairs at most")
        self._kind.change(tx, resource_id, metadata=pairs)
        return pairs

    def _send(self, req: ApiRequest, resp: falcon.Response, pairs: Pairs) -> None:
        if req.minor >= microversions.METADATA_ETAG:
            resp.etag = _tag(pairs)
        answers.send(resp, {"metadata": pairs})

    def _absent(self, resource_id: str, key: str) -> NotFound:
        return NotFound(resource_type=f"{self._kind.resource_type} {resource_id} metadata", resource_id=repr(key))


def _tag(pairs: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(pairs, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def _refuse_if_stale(req: ApiRequest, pairs: Pairs) -> None:
    """Since microversion 3.15 a client may say which state it changes, so that no other's change is lost."""
    wanted = req.if_match
    if req.minor < microversions.METADATA_ETAG or not wanted or "*" in wanted:
        return
    if _tag(pairs) not in wanted:
        raise falcon.HTTPPreconditionFailed(description="The metadata has changed since it was read.")

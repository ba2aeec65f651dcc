"""Snapshots: take, list, show, update, delete, reset."""

from typing import Any
from uuid import uuid4

import falcon

from volumed.api import answers, microversions, paging, validation
from volumed.api.accept import snapshots as accepting
from volumed.api.accept.snapshots import NewSnapshot
from volumed.api.accept.transaction import Reference, accept
from volumed.api.accept.volumes import project_of
from volumed.api.filters import snapshots as filters
from volumed.api.handlers.manageable import give_snapshot_away
from volumed.api.handlers.resets import await_truth
from volumed.api.handlers.volumes import named
from volumed.api.policies import snapshots as policies
from volumed.api.policies.manageable import UNMANAGE_SNAPSHOT
from volumed.api.request import ApiRequest
from volumed.api.schemas import snapshots as schemas
from volumed.api.schemas.fields import is_true
from volumed.api.tier import Tier
from volumed.api.views import snapshots as views
from volumed.db import snapshots
from volumed.model.errors import Invalid
from volumed.model.records import Snapshot
from volumed.model.states import SnapshotStatus


class Snapshots:
    """See the module."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_post(self, req: ApiRequest, resp: falcon.Response) -> None:
        tier, caller = self._tier, req.caller
        tier.policy.enforce(caller, policies.CREATE)
        new = _new_snapshot(req, schemas.CREATE.read(req)["snapshot"])
        made, host = accept(tier, req, Reference("snapshot", new.id), accepting.create, caller, tier.settings, new)
        if host is not None:
            tier.volume.create_snapshot(caller, host, made.volume_id, made.id, new.operation_id)
        answers.accepted(resp, new.operation_id, {"snapshot": views.summary(made, req.minor)})

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        found, extra = self._page(req, "snapshots")
        answers.send(resp, {"snapshots": [views.summary(each, req.minor) for each in found], **extra})

    def on_get_detail(self, req: ApiRequest, resp: falcon.Response) -> None:
        found, extra = self._page(req, "snapshots/detail")
        answers.send(resp, {"snapshots": [views.detail(each, req.minor) for each in found], **extra})

    def on_get_one(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        answers.send(resp, {"snapshot": views.detail(self._known(req, resource_id, policies.GET), req.minor)})

    def on_put_one(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        changes = named(schemas.UPDATE.read(req)["snapshot"])
        self._known(req, resource_id, policies.UPDATE)
        if changes:
            self._tier.database.write(lambda tx: snapshots.change(tx, resource_id, **changes))
        changed = self._known(req, resource_id, policies.GET)
        answers.send(resp, {"snapshot": views.summary(changed, req.minor)})

    def on_delete_one(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        tier, caller = self._tier, req.caller
        self._known(req, resource_id, policies.DELETE)
        about = Reference("nothing", resource_id)
        accepted = accept(tier, req, about, accepting.delete, caller, resource_id, str(uuid4()))
        if accepted.host is not None and accepted.operation_id is not None:
            tier.volume.delete_snapshot(caller, accepted.host, resource_id, accepted.operation_id)
        answers.accepted(resp, accepted.operation_id)

    def on_post_action(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        body = validation.parsed(req)
        if isinstance(body, dict) and "os-unmanage" in body:
            schemas.ACTIONS["os-unmanage"].check(body)
            self._known(req, resource_id, UNMANAGE_SNAPSHOT)
            give_snapshot_away(self._tier, req, resp, resource_id)
        else:
            self._reset(req, resp, resource_id, schemas.ACTIONS["os-reset_status"].check(body)["os-reset_status"])

    def _reset(self, req: ApiRequest, resp: falcon.Response, resource_id: str, asked: dict[str, Any]) -> None:
        self._known(req, resource_id, policies.RESET)
        to = SnapshotStatus(asked["status"])
        about = Reference("nothing", resource_id)
        accepted = accept(self._tier, req, about, accepting.reset, req.caller, resource_id, to, str(uuid4()))
        await_truth(self._tier, req, accepted, "snapshot.reset")
        answers.accepted(resp, accepted.operation_id)

    def rebuild(self, req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
        """The answer to a create that was accepted before."""
        found = self._known(req, reference.resource_id, policies.GET)
        answers.send(resp, {"snapshot": views.summary(found, req.minor)})

    def _known(self, req: ApiRequest, snapshot_id: str, rule: str) -> Snapshot:
        with self._tier.database.reading() as tx:
            found = snapshots.get(tx, snapshot_id, project_of(req.caller))
        self._tier.policy.enforce(req.caller, rule, found.project_id)
        return found

    def _page(self, req: ApiRequest, collection: str) -> tuple[list[Snapshot], dict[str, Any]]:
        tier = self._tier
        tier.policy.enforce(req.caller, policies.GET_ALL)
        listing = filters.listing(req, tier.settings, tier.policy.allows(req.caller, policies.ALL_PROJECTS))
        with tier.database.reading() as tx:
            found = snapshots.page(tx, paging.more_than(listing))
            count = snapshots.count(tx, listing) if paging.wants_count(req) else None
        shown = found[: listing.limit]
        extra: dict[str, Any] = {} if count is None else {"count": count}
        if shown and (following := paging.next_link(req, tier.settings, collection, found, listing, shown[-1].id)):
            extra["snapshots_links"] = following
        return shown, extra


def _new_snapshot(req: ApiRequest, asked: dict[str, Any]) -> NewSnapshot:
    force = asked.get("force")
    without_force = req.minor >= microversions.SNAPSHOT_WITHOUT_FORCE
    if without_force and "force" in asked and not is_true(force):
        raise Invalid(
            reason="Invalid input received: Since microversion 3.66 the 'force' option is invalid for this request. "
            "For backward compatibility, however, when the 'force' flag is passed with a value evaluating to True, "
            "it is silently ignored."
        )
    return NewSnapshot(
        id=str(uuid4()),
        operation_id=str(uuid4()),
        volume_id=asked["volume_id"],
        in_use_too=without_force or is_true(force),
        metadata=asked.get("metadata") or {},
        **named(asked),
    )

"""Operations: what became of requests. Not part of OpenStack's API."""

from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import falcon

from volumed.api import answers, paging
from volumed.api.accept import cancellation, repetition
from volumed.api.accept.repetition import Repetition
from volumed.api.accept.transaction import Reference, accept
from volumed.api.accept.volumes import project_of
from volumed.api.policies import operations as policies
from volumed.api.policies import volumes as volume_policies
from volumed.api.request import ApiRequest
from volumed.api.schemas import operations as schemas
from volumed.api.tier import Tier
from volumed.api.views import operations as views
from volumed.db import events, operations, volumes
from volumed.model.errors import Invalid, NotFound
from volumed.model.records import Json, Operation
from volumed.model.states import OperationState
from volumed.operations.lanes import IDLE, LONG

_SORT_KEYS: Final = {"created_at": "created_at", "updated_at": "updated_at", "id": "id", "state": "state"}
_EQUAL: Final = {
    "kind": "kind",
    "resource_type": "resource_type",
    "resource_id": "resource_id",
    "volume_id": "volume_id",
    "request_id": "request_id",
}
#: States that a filter may name together.
_GROUPS: Final = {
    "live": [OperationState.QUEUED, OperationState.RUNNING, OperationState.WAITING, OperationState.UNDOING],
    "ended": [OperationState.SUCCEEDED, OperationState.FAILED],
}

#: Operations of one volume that its timeline tells of, the latest.
TIMELINE_OPERATIONS = 200

#: Events that a timeline tells of at most.
TIMELINE_EVENTS = 1000

#: Candidates of a placement that are shown, the best ones.
SHOWN_CANDIDATES = 50


class Operations:
    """See the module."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        tier = self._tier
        tier.policy.enforce(req.caller, policies.GET_ALL)
        paging.refuse_unknown(req, {*_EQUAL, "state"})
        project_id = paging.every_project(req, req.caller, tier.policy.allows(req.caller, policies.ALL_PROJECTS))
        listing = paging.listing_of(req, tier.settings, _SORT_KEYS, project_id)
        listing = replace(listing, equals=paging.equals(req, _EQUAL) | _states(req))
        with tier.database.reading() as tx:
            found = operations.page(tx, paging.more_than(listing))
        shown = found[: listing.limit]
        body: dict[str, Any] = {"operations": [views.summary(each) for each in shown]}
        if shown and (following := paging.next_link(req, tier.settings, "operations", found, listing, shown[-1].id)):
            body["operations_links"] = following
        answers.send(resp, body)

    def on_get_one(self, req: ApiRequest, resp: falcon.Response, operation_id: str) -> None:
        with self._tier.database.reading() as tx:
            found = operations.get(tx, operation_id)
        _refuse_stranger(req, found.project_id, "operation", operation_id)
        self._tier.policy.enforce(req.caller, policies.GET, found.project_id)
        answers.send(resp, {"operation": views.detail(found, self._tier.policy.allows(req.caller, policies.QUEUE))})

    def on_post_action(self, req: ApiRequest, resp: falcon.Response, operation_id: str) -> None:
        (name,) = schemas.ACTION.read(req)
        with self._tier.database.reading() as tx:
            found = operations.get(tx, operation_id)
        _refuse_stranger(req, found.project_id, "operation", operation_id)
        if name == "cancel":
            self._cancel(req, found)
            self._send(req, resp, operation_id, 202)
        else:
            self._send(req, resp, self._retry(req, found), 202)

    def rebuild(self, req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
        """The answer to an action that was accepted before."""
        self._send(req, resp, reference.resource_id, reference.status)

    def _cancel(self, req: ApiRequest, found: Operation) -> None:
        tier = self._tier
        tier.policy.enforce(req.caller, policies.CANCEL, found.project_id)
        about = Reference("operation", found.id)
        was = accept(tier, req, about, cancellation.cancel, req.caller, found.id)
        if was.queue != operations.SCHEDULER_QUEUE:
            tier.volume.cancel_operation(req.caller, was.queue, was.id)

    def _retry(self, req: ApiRequest, found: Operation) -> str:
        tier, asked = self._tier, Repetition(found, str(uuid4()))
        tier.policy.enforce(req.caller, policies.RETRY, found.project_id)
        if found.kind in policies.OF_ADMINISTRATORS:
            tier.policy.enforce(req.caller, policies.RETRY_ADMIN, found.project_id)
        about = Reference("operation", asked.operation_id)
        accepted = accept(tier, req, about, repetition.repeat, req.caller, tier.settings, asked)
        if accepted.operation_id is None:
            return found.id
        if found.kind == "volume.create":
            tier.scheduler.create_volume(req.caller, found.volume_id, accepted.operation_id)
        elif accepted.host is not None and found.lane != IDLE:  # what has time is found by the backend's sweep
            is_long = found.lane == LONG
            tier.volume.wake_operation(req.caller, accepted.host, accepted.operation_id, is_long)
        return accepted.operation_id

    def _send(self, req: ApiRequest, resp: falcon.Response, operation_id: str, status: int) -> None:
        with self._tier.database.reading() as tx:
            found = operations.get(tx, operation_id)
        answers.accepted(resp, operation_id)
        view = views.detail(found, self._tier.policy.allows(req.caller, policies.QUEUE))
        answers.send(resp, {"operation": view}, status)


class Timeline:
    """What became of a volume's requests; also of a deleted one, while its operations are kept."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        with self._tier.database.reading() as tx:
            volume = volumes.find(tx, resource_id)
            found = operations.of_volume(tx, resource_id, TIMELINE_OPERATIONS)
            told = events.of_operations(tx, [each.id for each in found], TIMELINE_EVENTS)
        project_id = volume.project_id if volume else found[-1].project_id if found else None
        _refuse_stranger(req, project_id, "volume", resource_id)
        self._tier.policy.enforce(req.caller, volume_policies.TIMELINE, project_id)
        shows_queue = self._tier.policy.allows(req.caller, policies.QUEUE)
        body = {
            "volume_id": resource_id,
            "status": "deleted" if volume is None else volume.status,
            "operations": [views.detail(each, shows_queue) for each in found],
            "events": [views.event(each) for each in told],
        }
        answers.send(resp, {"timeline": body})


class Placement:
    """Why a volume is where it is, or is nowhere: the scheduler's last decision about it."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        with self._tier.database.reading() as tx:
            found = operations.of_volume(tx, resource_id, TIMELINE_OPERATIONS)
        created = next((each for each in reversed(found) if each.kind == "volume.create"), None)
        _refuse_stranger(req, None if created is None else created.project_id, "volume", resource_id)
        assert created is not None
        self._tier.policy.enforce(req.caller, volume_policies.PLACEMENT, created.project_id)
        answers.send(resp, {"placement": _decision(created)})


def _decision(created: Operation) -> Json:
    placement = created.placement or {}
    is_placed = created.queue != operations.SCHEDULER_QUEUE and created.state != OperationState.FAILED
    return placement | {
        "volume_id": created.volume_id,
        "operation_id": created.id,
        "state": created.state,
        "attempt": created.attempt,
        "wait_reason": created.wait_reason,
        "tried": created.tried,
        "error": created.error,
        "chosen": placement.get("chosen") if is_placed else None,
        "counts": placement.get("counts", {}),
        "candidates": placement.get("candidates", [])[:SHOWN_CANDIDATES],
    }


def _states(req: ApiRequest) -> dict[str, Any]:
    asked = req.get_param("state")
    if asked is None:
        return {}
    states = _GROUPS.get(asked) or asked.split(",")
    unknown = [state for state in states if state not in set(OperationState)]
    if unknown:
        raise Invalid(reason=f"Invalid input received: there is no state {unknown[0][:40]!r} of an operation.")
    return {"state": [str(state) for state in states]}


def _refuse_stranger(req: ApiRequest, project_id: str | None, resource_type: str, resource_id: str) -> None:
    if project_id is None or project_of(req.caller) not in {None, project_id}:
        raise NotFound(resource_type=resource_type, resource_id=resource_id)

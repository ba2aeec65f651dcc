"""An operation as JSON; not part of OpenStack's API."""

from typing import Any

from volumed.api.moments import spelled
from volumed.model.records import Event, Json, Operation

#: Arguments that are about backends: elsewhere only an administrator sees the same (host, extra specs).
OPERATORS_ONLY = frozenset({"extra_specs", "host", "source_host", "storage_id"})


def summary(operation: Operation) -> dict[str, Any]:
    """What became of a request, without the steps."""
    return {
        "id": operation.id,
        "kind": operation.kind,
        "state": operation.state,
        "resource_type": operation.resource_type,
        "resource_id": operation.resource_id,
        "volume_id": operation.volume_id,
        "source_id": operation.source_id,
        "project_id": operation.project_id,
        "user_id": operation.user_id,
        "request_id": operation.request_id,
        "wait_reason": operation.wait_reason,
        "cancel_requested": operation.cancel_requested,
        "error": operation.error,
        "created_at": spelled(operation.created_at),
        "updated_at": spelled(operation.updated_at),
        "ended_at": spelled(operation.ended_at),
    }


def detail(operation: Operation, shows_queue: bool) -> dict[str, Any]:
    """With its steps; ``shows_queue``: also which service has it and where it was tried."""
    told = summary(operation) | {
        "args": operation.args if shows_queue else _of_a_project(operation.args),
        "attempt": operation.attempt,
        "timeline": [_step(entry) for entry in operation.timeline],
    }
    if shows_queue:
        told |= {
            "queue": operation.queue,
            "lane": operation.lane,
            "worker": operation.worker,
            "claims": operation.claims,
            "not_before": spelled(operation.not_before or None),
            "tried": operation.tried,
        }
    return told


def _of_a_project(args: Json) -> Json:
    return {name: value for name, value in args.items() if name not in OPERATORS_ONLY}


def event(told: Event) -> dict[str, Any]:
    """A status change."""
    return {
        "event_type": told.event_type,
        "resource_type": told.resource_type,
        "resource_id": told.resource_id,
        "sequence": told.sequence,
        "operation_id": told.operation_id,
        "request_id": told.request_id,
        "status": told.payload.get("status"),
        "created_at": spelled(told.created_at),
    }


def _step(entry: Json) -> Json:
    """A step with its times spelled; ``seconds`` is what it took."""
    start, end = entry.get("start"), entry.get("end")
    took = {} if start is None or end is None else {"seconds": round((end - start) / 1e6, 6)}
    return entry | {"start": spelled(start), "end": spelled(end)} | took

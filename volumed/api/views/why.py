"""Why a volume is as it is: each finding with a sentence for people and fields for programs."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from volumed.api.moments import spelled
from volumed.db.holds import Holds
from volumed.db.operations import SCHEDULER_QUEUE
from volumed.db.services import VOLUME_BINARY
from volumed.model.records import Attachment, Json, Operation, Service, Snapshot, Volume
from volumed.model.states import AttachStatus, OperationState, VolumeStatus

_SCHEDULER_BINARY: Final = "volumed-scheduler"

#: Statuses of a volume that rests where something went wrong.
_ERRORS: Final = frozenset(
    {
        *(VolumeStatus.ERROR, VolumeStatus.ERROR_EXTENDING, VolumeStatus.ERROR_DELETING),
        *(VolumeStatus.ERROR_MANAGING, VolumeStatus.ERROR_UNMANAGING),
    }
)

#: Statuses of a volume in which an operation on it or on an attachment must be live.
_IN_TRANSIT: Final = frozenset(
    {
        *(VolumeStatus.CREATING, VolumeStatus.DELETING, VolumeStatus.EXTENDING, VolumeStatus.DETACHING),
        *(VolumeStatus.REVERTING, VolumeStatus.MANAGING, VolumeStatus.UNMANAGING),
    }
)

_WORDS: Final = {
    AttachStatus.RESERVED: "reserves it",
    AttachStatus.ATTACHING: "is being let in",
    AttachStatus.ATTACHED: "uses it",
    AttachStatus.DETACHING: "is being put out",
    AttachStatus.ERROR_ATTACHING: "could not be let in",
    AttachStatus.ERROR_DETACHING: "could not be put out",
}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks. ``project_id`` None: an administrator. ``up``: binary and host of the services that work."""

    sees_hosts: bool
    sees_queues: bool
    project_id: str | None
    up: Collection[tuple[str, str]]


def findings(found: Holds, viewer: Viewer) -> list[Json]:
    """What holds the volume, the strongest hold first; ``nothing`` when nothing does."""
    told = list(_findings(found, viewer))
    return told or [_nothing(found)]


def _findings(found: Holds, viewer: Viewer) -> Iterator[Json]:
    volume = found.volume
    for operation in found.working:
        yield _operation(operation, found, viewer)
    if volume is None:
        yield _deleted(found)
        return
    if not found.working and volume.status in _IN_TRANSIT:
        yield _without_operation(volume)
    if volume.status in _ERRORS:
        yield _error(volume, found.ended)
    for attachment in found.attachments:
        yield _attachment(attachment, viewer)
    for operation in found.reading:
        yield _reader(operation, found, viewer)
    if found.snapshots:
        yield _snapshots(found.snapshots)


# --- operations -----------------------------------------------------------------------------------------------------


def _operation(operation: Operation, found: Holds, viewer: Viewer) -> Json:
    waits_for = _waits_for(operation, found, viewer)
    subject = "it" if operation.resource_type == "volume" else f"its {operation.resource_type} {operation.resource_id}"
    head = f"the {operation.kind} on {subject} is {operation.state}, asked at {_at(operation.created_at)}"
    asker = f" by user {operation.user_id} with request {operation.request_id} (operation {operation.id})"
    return _facts("operation", operation, viewer) | {
        "sentence": _sentences(head + asker, *_doing(operation), *_service_words(operation, waits_for)),
        "waits_for": waits_for,
    }


def _reader(operation: Operation, found: Holds, viewer: Viewer) -> Json:
    """Somebody who only reads the volume. What belongs to another project is told without its names."""
    waits_for = _waits_for(operation, found, viewer)
    source = "it" if operation.source_id == found.volume_id else f"its snapshot {operation.source_id}"
    whose = f" for volume {operation.volume_id}" if _is_known(operation, viewer) else " for another project"
    head = f"a {operation.kind} reads {source}{whose} and is {operation.state}, asked at {_at(operation.created_at)}"
    asker = f" with request {operation.request_id} (operation {operation.id})" if _is_known(operation, viewer) else ""
    until = "it must not change until that has ended"
    return _facts("reader", operation, viewer) | {
        "sentence": _sentences(
            head + asker,
            *(_doing(operation) if _is_known(operation, viewer) else ()),
            *_service_words(operation, waits_for),
            until,
        ),
        "waits_for": waits_for,
        "source_id": operation.source_id,
    }


def _facts(name: str, operation: Operation, viewer: Viewer) -> Json:
    told: dict[str, Any] = {
        "type": name,
        "since": spelled(operation.created_at),
        "kind": operation.kind,
        "state": operation.state,
        "step": _step(operation),
        "wait_reason": operation.wait_reason if _is_known(operation, viewer) else None,
        "not_before": spelled(operation.not_before or None) if _pauses(operation) else None,
        "cancel_requested": operation.cancel_requested,
    }
    if _is_known(operation, viewer):
        told |= {
            "operation_id": operation.id,
            "resource_type": operation.resource_type,
            "resource_id": operation.resource_id,
            "volume_id": operation.volume_id,
            "project_id": operation.project_id,
            "user_id": operation.user_id,
            "request_id": operation.request_id,
        }
    return told | ({"queue": operation.queue} if viewer.sees_queues else {})


def _is_known(operation: Operation, viewer: Viewer) -> bool:
    return viewer.project_id in {None, operation.project_id}


def _pauses(operation: Operation) -> bool:
    return operation.state in {OperationState.WAITING, OperationState.UNDOING} and operation.wait_reason is not None


def _doing(operation: Operation) -> Iterator[str]:
    """Where the operation is, and what keeps it."""
    step = _step(operation)
    if operation.state == OperationState.UNDOING and operation.error:
        yield f"it is taken back because of: {_clause(operation.error)}"
    if operation.wait_reason:
        yield f"it waits because of: {operation.wait_reason.rstrip('.')}"
    if _pauses(operation):
        yield f"it is tried again at {_at(operation.not_before)}"
    elif step is not None and operation.state in {OperationState.RUNNING, OperationState.UNDOING}:
        yield f"it is in the step {step}{_progress(operation)}"
    if operation.cancel_requested:
        yield "its cancellation is requested"


def _step(operation: Operation) -> str | None:
    """The step that was noted last, None before the first note."""
    if not operation.timeline:
        return None
    entry = operation.timeline[-1]
    return f"undo of {entry['step']}" if entry.get("direction") == "undo" else str(entry["step"])


def _progress(operation: Operation) -> str:
    entry = operation.timeline[-1]
    done, total = entry.get("done_bytes"), entry.get("total_bytes")
    return f" ({100 * done // total} % of {total} bytes)" if done is not None and total else ""


# --- services -------------------------------------------------------------------------------------------------------


def _waits_for(operation: Operation, found: Holds, viewer: Viewer) -> Json:
    """The service whose turn it is, and whether it works."""
    binary = _SCHEDULER_BINARY if operation.queue == SCHEDULER_QUEUE else VOLUME_BINARY
    candidates = [each for each, _ in found.services if each.binary == binary]
    if binary == VOLUME_BINARY:
        candidates = [each for each in candidates if each.host == operation.queue]
    working = [each for each in candidates if (each.binary, each.host) in viewer.up]
    told: dict[str, Any] = {"service": binary, "is_up": bool(working)}
    if viewer.sees_queues:
        told |= {"host": None if binary == _SCHEDULER_BINARY else operation.queue}
        told |= {"reason": None if working else _why_down(candidates)}
    return told


def _why_down(candidates: list[Service]) -> str:
    if not candidates:
        return "it has never reported"
    latest = max(candidates, key=lambda each: each.updated_at)
    silent = f"it has not reported since {_at(latest.updated_at)}"
    return silent if latest.state == "up" else latest.state_reason or f"{latest.state}, {silent}"


def _service_words(operation: Operation, waits_for: Json) -> Iterator[str]:
    place = f" on {waits_for['host']}" if waits_for.get("host") else ""
    service = f"{waits_for['service']}{place}"
    reason = f" ({waits_for['reason'].rstrip('.')})" if waits_for.get("reason") else ""
    if not waits_for["is_up"]:
        yield f"it needs {service}, which is down{reason}, and goes on when that is up"
    elif operation.state == OperationState.QUEUED:
        yield f"it waits for {service}, which is up"
    else:
        yield f"{service} has it, and is up"


# --- what else ------------------------------------------------------------------------------------------------------


def _attachment(attachment: Attachment, viewer: Viewer) -> Json:
    host = (attachment.connector or {}).get("host") if viewer.sees_hosts else None
    user = f"instance {attachment.instance_uuid}" if attachment.instance_uuid else "a client without an instance"
    since = attachment.attached_at or attachment.created_at
    what = _WORDS.get(AttachStatus(attachment.attach_status), attachment.attach_status)
    because = f", because of: {_clause(attachment.error)}" if attachment.error else ""
    words = f"{user}{f' on host {host}' if host else ''} {what} since {_at(since)}{because}"
    return {
        "type": "attachment",
        "sentence": _sentences(f"{words} (attachment {attachment.id}, {attachment.attach_mode})"),
        "since": spelled(since),
        "attachment_id": attachment.id,
        "status": attachment.attach_status,
        "instance": attachment.instance_uuid,
        "host": host,
        "mode": attachment.attach_mode,
        "error": attachment.error,
    }


def _snapshots(found: list[Snapshot]) -> Json:
    count = f"{len(found)} snapshot{'s' if len(found) > 1 else ''}"
    since = min(each.created_at for each in found)
    return {
        "type": "snapshots",
        "sentence": _sentences(
            f"it has {count}, and is deleted only with or after {'them' if len(found) > 1 else 'it'}"
        ),
        "since": spelled(since),
        "snapshot_ids": [each.id for each in found],
    }


def _error(volume: Volume, ended: Operation | None) -> Json:
    cause = ended if ended is not None and ended.state == OperationState.FAILED else None
    reason = _clause(volume.error or (cause.error if cause else None) or {"message": "no reason is kept"})
    since = cause.ended_at if cause is not None and cause.ended_at else volume.updated_at
    by = f"; {cause.kind} failed (operation {cause.id}, request {cause.request_id})" if cause else ""
    return {
        "type": "error",
        "sentence": _sentences(f"it is {volume.status} since {_at(since)}{by}, because of: {reason}"),
        "since": spelled(since),
        "status": volume.status,
        "error": volume.error,
        "kind": cause.kind if cause else None,
        "operation_id": cause.id if cause else None,
        "request_id": cause.request_id if cause else None,
    }


def _without_operation(volume: Volume) -> Json:
    words = f"it is {volume.status} since {_at(volume.updated_at)}, and no operation works on it"
    return {
        "type": "lost",
        "sentence": _sentences(words, "its backend's service takes it up with its next look at its rows"),
        "since": spelled(volume.updated_at),
        "status": volume.status,
    }


def _deleted(found: Holds) -> Json:
    ended = found.ended
    if ended is None or ended.kind != "volume.delete" or ended.state != OperationState.SUCCEEDED:
        return {"type": "deleted", "sentence": "It is gone; which request deleted it is kept no longer.", "since": None}
    words = f"it was deleted at {_at(ended.ended_at or ended.updated_at)} by user {ended.user_id}"
    return {
        "type": "deleted",
        "sentence": _sentences(f"{words} with request {ended.request_id} (operation {ended.id})"),
        "since": spelled(ended.ended_at),
        "operation_id": ended.id,
        "user_id": ended.user_id,
        "request_id": ended.request_id,
    }


def _nothing(found: Holds) -> Json:
    assert found.volume is not None
    volume = found.volume
    return {
        "type": "nothing",
        "sentence": _sentences(f"nothing holds it; it is {volume.status} since {_at(volume.updated_at)}"),
        "since": spelled(volume.updated_at),
        "status": volume.status,
    }


# --- words ----------------------------------------------------------------------------------------------------------


def _at(microseconds: int | None) -> str:
    text = spelled(microseconds) or "an unknown time"
    return f"{text[:19].replace('T', ' ')} UTC"


def _clause(error: Json) -> str:
    return str(error.get("message") or error.get("type") or "unknown").rstrip(".")


def _sentences(*clauses: str) -> str:
    """The clauses, each as a sentence of its own."""
    return " ".join(f"{clause[0].upper()}{clause[1:]}." if clause[0].islower() else f"{clause}." for clause in clauses)

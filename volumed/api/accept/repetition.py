"""What a request to do a failed operation again writes: the request behind it, once more, as a new operation."""

from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.api.accept import attachments, manage, reverts, snapshots, volume_actions, volumes
from volumed.api.accept.reverts import Reversion
from volumed.api.accept.transaction import enqueue
from volumed.api.accept.volume_actions import Extension
from volumed.api.accept.volumes import Accepted, Removal
from volumed.api.settings import Settings
from volumed.db.operations import NewOperation
from volumed.model.context import RequestContext
from volumed.model.errors import InvalidStatus, NotRepeatable
from volumed.model.findings import REPAIR
from volumed.model.records import Operation
from volumed.model.states import OperationState, SnapshotStatus, VolumeStatus


@dataclass(frozen=True, slots=True)
class Repetition:
    """``failed`` done again as ``operation_id``."""

    failed: Operation
    operation_id: str


def repeat(tx: Connection, caller: RequestContext, settings: Settings, asked: Repetition) -> Accepted:
    """Accept the failed operation's request again, by the same rules as then.

    Raises ``InvalidStatus`` unless it failed, ``NotRepeatable`` for what is repeated otherwise.
    """
    failed, new_id = asked.failed, asked.operation_id
    if failed.state != OperationState.FAILED:
        raise InvalidStatus(
            resource_type="operation", resource_id=failed.id, allowed=OperationState.FAILED, status=failed.state
        )
    resource_id, args = failed.resource_id, failed.args
    match failed.kind:
        case "volume.create":
            return volumes.create_again(tx, caller, settings, resource_id, new_id)
        case "volume.delete":
            force = bool(args.get("force")) and caller.is_admin
            return volumes.delete(tx, caller, settings, Removal(resource_id, new_id, force, bool(args.get("cascade"))))
        case "volume.extend":
            extension = Extension(resource_id, new_id, args["new_size"], online=True, again=True)
            return volume_actions.extend(tx, caller, settings, extension)
        case "volume.revert":
            return reverts.revert(tx, caller, Reversion(resource_id, args["snapshot_id"], new_id, again=True))
        case "volume.flatten":
            return volume_actions.flatten_again(tx, caller, failed, new_id)
        case "volume.unmanage":
            return manage.unmanage(tx, caller, resource_id, new_id)
        case "volume.reset":
            return volume_actions.reset(tx, caller, resource_id, VolumeStatus(args["status"]), new_id)
        case "snapshot.create":
            return snapshots.create_again(tx, caller, resource_id, new_id)
        case "snapshot.delete":
            return snapshots.delete(tx, caller, resource_id, new_id)
        case "snapshot.reset":
            return snapshots.reset(tx, caller, resource_id, SnapshotStatus(args["status"]), new_id)
        case "snapshot.unmanage":
            return manage.unmanage_snapshot(tx, caller, resource_id, new_id)
        case "attachment.attach":
            return attachments.connect(tx, caller, resource_id, args["connector"], args["mode"], new_id)
        case "attachment.detach":
            return attachments.delete(tx, caller, resource_id, new_id, bool(args.get("force")) and caller.is_admin)
        case kind if kind == REPAIR:
            return _repair_again(tx, caller, failed, new_id)
        case "volume.manage" | "snapshot.manage":
            reason = f"its size is asked of the backend first: delete the {failed.resource_type}, and manage it again"
        case _:
            reason = "the doctor finds what it left, and repairs it"
    raise NotRepeatable(operation_id=failed.id, kind=failed.kind, reason=reason)


def _repair_again(tx: Connection, caller: RequestContext, failed: Operation, new_id: str) -> Accepted:
    new = NewOperation(
        id=new_id,
        kind=failed.kind,
        resource_type=failed.resource_type,
        resource_id=failed.resource_id,
        volume_id=failed.volume_id,
        project_id=failed.project_id,
        user_id=caller.user_id,
        request_id=caller.request_id,
        queue=failed.queue,
        args=failed.args,
    )
    return Accepted(enqueue(tx, new), failed.queue)

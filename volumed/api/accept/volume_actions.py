"""What the actions on a volume write, each in one transaction: extend, and the plain changes of its status."""

from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.api.accept.new_operations import on_volume
from volumed.api.accept.transaction import enqueue
from volumed.api.accept.volumes import Accepted, check_size, project_of
from volumed.api.settings import Settings
from volumed.db import attachments, operations, quotas, services, volume_types, volumes
from volumed.db.operations import NewOperation
from volumed.model import quota_use
from volumed.model.context import RequestContext
from volumed.model.errors import HasDependents, Invalid, InvalidStatus, SetByAdministrator
from volumed.model.records import Json, Operation, Volume
from volumed.model.requests import judge
from volumed.model.states import VolumeStatus
from volumed.operations import notifications
from volumed.operations.attached import settle
from volumed.operations.notifications import Request


@dataclass(frozen=True, slots=True)
class Extension:
    """``online``: the client knows that attached volumes may be extended. ``again``: it failed before.

    Whether the backend of an attached one can is what its service has said last; asked anew it may still refuse.
    """

    volume_id: str
    operation_id: str
    new_size: int
    online: bool
    again: bool = False


def extend(tx: Connection, caller: RequestContext, settings: Settings, asked: Extension) -> Accepted:
    """Accept the growth: quota is spent now, the volume is ``extending``."""
    known = volumes.get(tx, asked.volume_id, project_of(caller))
    _judge_extension(tx, known, asked)
    check_size(asked.new_size, settings, known.project_id, "os-extend/new_size")
    use = quota_use.of_gigabytes(asked.new_size - known.size, volume_types.name_of(tx, known.volume_type_id))
    quotas.change(tx, known.project_id, use, settings.quota_defaults)
    volume = _taken(tx, known.id)
    _judge_extension(tx, volume, asked)
    if volume.size != known.size:
        raise Invalid(reason=f"Invalid volume: volume {volume.id} was extended at this moment; ask again.")
    operations.refuse_if_held(tx, "volume", volume.id)
    volumes.move(tx, volume.id, VolumeStatus(volume.status), VolumeStatus.EXTENDING, error=None)
    enqueue(tx, _extend_operation(caller, volume, asked))
    cause = Request(asked.operation_id, caller.request_id)
    notifications.of_volume(tx, cause, volume, "resize.start", VolumeStatus.EXTENDING, new_size=asked.new_size)
    return Accepted(asked.operation_id, volume.host)


def _judge_extension(tx: Connection, volume: Volume, asked: Extension) -> None:
    request = "extend_again" if asked.again else "extend_online" if asked.online else "extend"
    judge("volume", volume.id, request, volume.status)
    if volume.status != VolumeStatus.AVAILABLE and attachments.of_volume(tx, volume.id):
        services.refuse_to_extend_in_use(tx, volume)
    if asked.new_size <= volume.size:
        raise Invalid(
            reason=f"Invalid input received: New size for extend must be greater than current size. "
            f"(current: {volume.size}, extended: {asked.new_size})."
        )


def _extend_operation(caller: RequestContext, volume: Volume, asked: Extension) -> NewOperation:
    args: Json = {"new_size": asked.new_size, "old_size": volume.size}
    if asked.again:
        args |= {"again": True}
    return on_volume("volume.extend", caller, asked.operation_id, volume, args)


def reserve(tx: Connection, caller: RequestContext, volume_id: str) -> None:
    """The client is about to attach: nobody else may."""
    volume = _taken(tx, volume_id, project_of(caller))
    judge("volume", volume_id, "attach_again" if volume.multiattach else "attach", volume.status)
    operations.refuse_if_held(tx, "volume", volume_id)
    if volume.status != VolumeStatus.IN_USE:
        volumes.move(tx, volume_id, VolumeStatus(volume.status), VolumeStatus.ATTACHING)


def unreserve(tx: Connection, caller: RequestContext, volume_id: str) -> None:
    """The client did not attach after all; without a reservation nothing happens."""
    volume = _taken(tx, volume_id, project_of(caller))
    if volume.status == VolumeStatus.ATTACHING:
        settle(tx, volume_id)


def begin_detaching(tx: Connection, caller: RequestContext, volume_id: str) -> None:
    """The client is about to detach."""
    volume = _taken(tx, volume_id, project_of(caller))
    if volume.status != VolumeStatus.IN_USE:
        raise InvalidStatus(
            resource_type="volume", resource_id=volume_id, allowed=VolumeStatus.IN_USE, status=volume.status
        )
    operations.refuse_if_on_it(tx, "volume", volume_id)
    volumes.move(tx, volume_id, VolumeStatus.IN_USE, VolumeStatus.DETACHING)


def roll_detaching(tx: Connection, caller: RequestContext, volume_id: str) -> None:
    """The client did not detach after all; where a detach is under way, or none was begun, nothing happens."""
    volume = _taken(tx, volume_id, project_of(caller))
    if volume.status == VolumeStatus.DETACHING:
        settle(tx, volume_id)


def reset(tx: Connection, caller: RequestContext, volume_id: str, to: VolumeStatus, operation_id: str) -> Accepted:
    """Where nothing is on its way, ask the backend and set what is true; ``error`` is what the asker says it is.

    The volume's attachments must agree with what is asked for.
    """
    volume = _taken(tx, volume_id, project_of(caller))
    operations.refuse_if_held(tx, "volume", volume_id)
    judge("volume", volume_id, "reset", volume.status)
    found = attachments.of_volume(tx, volume_id)
    if to == VolumeStatus.AVAILABLE and found:
        raise HasDependents(resource_type="volume", resource_id=volume_id, dependents=f"{len(found)} attachments")
    if to == VolumeStatus.IN_USE and not found:
        raise Invalid(reason=f"Invalid volume: volume {volume_id} has no attachment, so it cannot be in-use.")
    if to == VolumeStatus.ERROR:
        error = SetByAdministrator(user_id=caller.user_id, request_id=caller.request_id).as_record()
        volumes.move(tx, volume_id, VolumeStatus(volume.status), to, error=error)
        return Accepted(None)
    if volume.host is None:
        raise Invalid(reason=f"Invalid volume: volume {volume_id} is on no backend, so it can only be deleted.")
    new = on_volume("volume.reset", caller, operation_id, volume, {"status": to})
    return Accepted(enqueue(tx, new), volume.host)


def flatten_again(tx: Connection, caller: RequestContext, failed: Operation, operation_id: str) -> Accepted:
    """Have the volume flattened after all, or join who does; it holds the volume against nobody, as the first did."""
    volume = _taken(tx, failed.volume_id, project_of(caller))
    judge("volume", volume.id, "flatten_again", volume.status)
    if (live := operations.flatten_of(tx, volume.id)) is not None:
        return Accepted(live.id, volume.host)
    new = on_volume(failed.kind, caller, operation_id, volume, failed.args, failed.lane)
    return Accepted(enqueue(tx, new, live_key=operation_id), volume.host)


def _taken(tx: Connection, volume_id: str, project_id: str | None = None) -> Volume:
    volumes.get(tx, volume_id, project_id)
    volumes.touch(tx, volume_id)
    return volumes.get(tx, volume_id)

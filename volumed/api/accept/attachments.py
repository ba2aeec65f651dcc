"""What the requests to let an initiator in and out write, each in one transaction.

Credentials are made here and stored with the row, before anything is exported; they are in no argument and no event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from volumed.api.accept import cancellation
from volumed.api.accept.transaction import enqueue
from volumed.api.accept.volumes import Accepted, project_of
from volumed.db import attachments, operations, volumes
from volumed.db.operations import NewOperation
from volumed.model.context import RequestContext
from volumed.model.credentials import credentials_for, is_same_connector
from volumed.model.errors import BusyResource, Invalid
from volumed.model.host import backend_of
from volumed.model.records import Attachment, Json, Operation, Volume
from volumed.model.requests import Answer, judge
from volumed.model.states import AttachStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.attached import settle
from volumed.operations.notifications import Request


@dataclass(frozen=True, slots=True)
class NewAttachment:
    """An attachment as it is asked for; without a ``connector`` the volume is only reserved."""

    id: str
    operation_id: str
    volume_id: str
    instance_uuid: str | None
    connector: Json | None
    mode: str = "rw"


@dataclass(frozen=True, slots=True)
class Connecting:
    """The attachment that is being let in. ``operation_id`` None: it is in."""

    attachment_id: str
    accepted: Accepted


def create(tx: Connection, caller: RequestContext, new: NewAttachment) -> Accepted:
    """Reserve the volume; with a connector, let it in."""
    volume = _taken_volume(tx, caller, new.volume_id)
    others = attachments.of_volume(tx, volume.id)
    _judge_another(volume, others, new.instance_uuid)
    operations.refuse_if_on_it(tx, "volume", volume.id)
    return _add(tx, caller, volume, others, new)


def _judge_another(volume: Volume, others: Sequence[Attachment], instance_uuid: str | None) -> None:
    """One volume is for one instance, unless it is made for many; an instance may attach twice, to move to a host."""
    moving = bool(others) and all(instance_uuid and each.instance_uuid == instance_uuid for each in others)
    judge("volume", volume.id, "attach_again" if volume.multiattach or moving else "attach", volume.status)


def _add(
    tx: Connection, caller: RequestContext, volume: Volume, others: Sequence[Attachment], new: NewAttachment
) -> Accepted:
    connecting = new.connector is not None
    attachments.add(
        tx,
        id=new.id,
        project_id=volume.project_id,
        user_id=caller.user_id,
        volume_id=volume.id,
        instance_uuid=new.instance_uuid,
        attach_status=AttachStatus.ATTACHING if connecting else AttachStatus.RESERVED,
        attach_mode=new.mode,
        mountpoint=(new.connector or {}).get("mountpoint"),
        connector=new.connector,
        credentials=credentials_for(others, new.id, new.connector) if new.connector is not None else None,
    )
    settle(tx, volume.id)
    if not connecting:
        return Accepted(None)
    return _begin(tx, caller, "attachment.attach", volume, attachments.get(tx, new.id), new.operation_id)


def connect(
    tx: Connection, caller: RequestContext, attachment_id: str, connector: Json, mode: str | None, operation_id: str
) -> Accepted:
    """Let the connector in; asked again with the same one, join what is under way or done."""
    attachment, volume = _taken(tx, caller, attachment_id)
    live = operations.live_on(tx, attachment_id)
    answer = judge("attachment", attachment_id, "update", attachment.attach_status)
    if attachment.credentials is not None and attachment.connector == connector:
        return Accepted(None if live is None else live.id, volume.host)
    if live is not None or (answer is Answer.JOIN and attachment.connection_info is None):
        _refuse_as_busy(tx, attachment_id)
    operations.refuse_if_on_it(tx, "volume", volume.id)
    attachments.move(
        tx,
        attachment_id,
        AttachStatus(attachment.attach_status),
        AttachStatus.ATTACHING,
        connector=connector,
        attach_mode=mode or attachment.attach_mode,
        mountpoint=connector.get("mountpoint") or attachment.mountpoint,
        credentials=credentials_for(attachments.of_volume(tx, volume.id), attachment_id, connector),
        connection_info=None,
        attached_at=None,
        error=None,
    )
    settle(tx, volume.id)
    # Who was in before is in until the attach, or a detach after it, has put it out: the row must not forget that.
    more = {"reconnects": True} if attachment.credentials is not None else {}
    connecting = replace(attachment, connector=connector)
    return _begin(tx, caller, "attachment.attach", volume, connecting, operation_id, more)


def complete(tx: Connection, caller: RequestContext, attachment_id: str) -> None:
    """The client is logged in."""
    attachment, volume = _taken(tx, caller, attachment_id)
    judge("attachment", attachment_id, "complete", attachment.attach_status)
    _refuse_as_busy(tx, attachment_id)
    if attachment.attach_status != AttachStatus.ATTACHED:
        attachments.mark_attached(tx, attachment_id, AttachStatus(attachment.attach_status))
        settle(tx, volume.id)


def delete(
    tx: Connection, caller: RequestContext, attachment_id: str, operation_id: str, force: bool = False
) -> Accepted:
    """Put the connector out; what the backend never heard of is gone at once.

    ``force`` cuts its session, also where a detach waits for the end of that.
    """
    attachment, volume = _taken(tx, caller, attachment_id)
    joins = judge("attachment", attachment_id, "delete", attachment.attach_status) is Answer.JOIN
    live = operations.live_on(tx, attachment_id)
    if joins:
        if live is not None and force:
            operations.force(tx, live)
        return Accepted(None if live is None else live.id, volume.host)
    if live is not None and live.kind == "attachment.attach":
        return _delete_after(tx, caller, volume, attachment, live, operation_id, force)
    _refuse_as_busy(tx, attachment_id)
    if attachment.credentials is None:
        attachments.remove(tx, attachment_id)
        settle(tx, volume.id)
        return Accepted(None)
    attachments.move(tx, attachment_id, AttachStatus(attachment.attach_status), AttachStatus.DETACHING, error=None)
    settle(tx, volume.id)
    return _begin(tx, caller, "attachment.detach", volume, attachment, operation_id, _forced(force))


def _delete_after(
    tx: Connection,
    caller: RequestContext,
    volume: Volume,
    attachment: Attachment,
    live: Operation,
    operation_id: str,
    force: bool,
) -> Accepted:
    """Cancel the attach that is under way; what it let in is put out, and the attachment goes with its end."""
    if (successor := operations.successor_of(tx, live.id)) is not None:
        if force:
            operations.force(tx, successor)
        return Accepted(successor.id, volume.host)
    cancellation.request(tx, caller, live)
    reason = f"waits for the end of operation {live.id} ({live.kind}), which is cancelled"
    detach = _new(caller, "attachment.detach", volume, attachment, operation_id, _forced(force))
    operations.add_after(tx, detach, live.id, reason)
    return Accepted(operation_id, volume.host, cancels=live.id)


def abandon(tx: Connection, caller: RequestContext, attachment_id: str) -> None:
    """Forget an attachment whose connector could not be let in: the classic actions have no name for it."""
    attachment, volume = _taken(tx, caller, attachment_id)
    if _has_failed(attachment):
        attachments.remove(tx, attachment_id)
        settle(tx, volume.id)


# --- the classic actions, in terms of attachments --------------------------------------------------------------------


def initialize_connection(tx: Connection, caller: RequestContext, new: NewAttachment) -> Connecting:
    """os-initialize_connection: an attachment for this connector, or the one that it has."""
    volume = _taken_volume(tx, caller, new.volume_id)
    found = attachments.of_volume(tx, volume.id)
    exported = [each for each in found if each.credentials is not None]
    for attachment in found:
        if _has_failed(attachment) and is_same_connector(attachment.connector, new.connector):
            attachments.remove(tx, attachment.id)
    for attachment in exported:
        is_going = attachment.attach_status in {AttachStatus.DETACHING, AttachStatus.ERROR_ATTACHING}
        if is_same_connector(attachment.connector, new.connector) and not is_going:
            live = operations.live_on(tx, attachment.id)
            return Connecting(attachment.id, Accepted(None if live is None else live.id, volume.host))
    judge("volume", volume.id, "attach_again" if volume.multiattach or not exported else "attach", volume.status)
    operations.refuse_if_held(tx, "volume", volume.id)
    return Connecting(new.id, _add(tx, caller, volume, found, new))


def terminate_connection(
    tx: Connection, caller: RequestContext, volume_id: str, connector: Json | None, operation_id: str, force: bool
) -> Accepted:
    """os-terminate_connection: this connector's attachment ends; where it has none, nothing is left to do."""
    volume = _taken_volume(tx, caller, volume_id)
    exported = [each for each in attachments.of_volume(tx, volume.id) if each.credentials is not None]
    for attachment in exported:
        if connector is None or is_same_connector(attachment.connector, connector):
            return delete(tx, caller, attachment.id, operation_id, force)
    return Accepted(None)


@dataclass(frozen=True, slots=True)
class Use:
    """os-attach: who says that it uses the volume, as what."""

    volume_id: str
    attachment_id: str
    instance_uuid: str | None
    host_name: str | None
    mountpoint: str | None
    #: None: that of the connection.
    mode: str | None


def attach(tx: Connection, caller: RequestContext, use: Use) -> None:
    """os-attach: the attachment that os-initialize_connection made is in use, or there is one from now on."""
    volume = _taken_volume(tx, caller, use.volume_id)
    found = attachments.of_volume(tx, volume.id)
    if any(use.instance_uuid and each.instance_uuid == use.instance_uuid and _is_in_use(each) for each in found):
        return
    waiting = next((each for each in found if each.attach_status == AttachStatus.ATTACHING), None)
    if waiting is not None:
        _refuse_as_busy(tx, waiting.id)
        attachments.mark_attached(
            tx,
            waiting.id,
            AttachStatus.ATTACHING,
            instance_uuid=use.instance_uuid or waiting.instance_uuid,
            mountpoint=use.mountpoint,
            attach_mode=use.mode or waiting.attach_mode,
        )
    else:
        _add_use(tx, caller, volume, use)
    settle(tx, volume.id)


def detach(
    tx: Connection,
    caller: RequestContext,
    volume_id: str,
    attachment_id: str | None,
    operation_id: str,
    force: bool = False,
) -> Accepted:
    """os-detach and os-force_detach: the attachment ends, where os-terminate_connection did not end it before."""
    volume = _taken_volume(tx, caller, volume_id)
    found = [each for each in attachments.of_volume(tx, volume.id) if attachment_id in {None, each.id}]
    if len(found) > 1:
        raise Invalid(
            reason=f"Invalid volume: volume {volume_id} is attached to more than one instance or host; "
            "the attachment_id must be given."
        )
    if found:
        return delete(tx, caller, found[0].id, operation_id, force)
    if attachment_id is not None:
        attachments.get(tx, attachment_id, project_of(caller))
    settle(tx, volume.id)
    return Accepted(None)


def _add_use(tx: Connection, caller: RequestContext, volume: Volume, use: Use) -> None:
    reserved = volume.status == VolumeStatus.ATTACHING
    judge("volume", volume.id, "attach_again" if volume.multiattach or reserved else "attach", volume.status)
    operations.refuse_if_held(tx, "volume", volume.id)
    attachments.add_attached(
        tx,
        use.attachment_id,
        project_id=volume.project_id,
        user_id=caller.user_id,
        volume_id=volume.id,
        instance_uuid=use.instance_uuid,
        attach_mode=use.mode or "rw",
        mountpoint=use.mountpoint,
        connector=None if use.host_name is None else {"host": use.host_name},
    )


def _has_failed(attachment: Attachment) -> bool:
    """Whether its connector could not be let in, and all was undone."""
    return attachment.attach_status == AttachStatus.ERROR_ATTACHING and attachment.credentials is None


def _is_in_use(attachment: Attachment) -> bool:
    return attachment.attach_status == AttachStatus.ATTACHED


# --- rows and operations ---------------------------------------------------------------------------------------------


def _taken_volume(tx: Connection, caller: RequestContext, volume_id: str) -> Volume:
    volumes.get(tx, volume_id, project_of(caller))
    volumes.touch(tx, volume_id)
    return volumes.get(tx, volume_id)


def _taken(tx: Connection, caller: RequestContext, attachment_id: str) -> tuple[Attachment, Volume]:
    known = attachments.get(tx, attachment_id, project_of(caller))
    for resource_id, touch in sorted({known.id: attachments.touch, known.volume_id: volumes.touch}.items()):
        touch(tx, resource_id)
    return attachments.get(tx, attachment_id), volumes.get(tx, known.volume_id)


def _refuse_as_busy(tx: Connection, attachment_id: str) -> None:
    live = operations.live_on(tx, attachment_id)
    if live is not None:
        raise BusyResource(resource_type="attachment", resource_id=attachment_id, operation_id=live.id, kind=live.kind)


def _begin(
    tx: Connection,
    caller: RequestContext,
    kind: str,
    volume: Volume,
    attachment: Attachment,
    operation_id: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Accepted:
    enqueue(tx, _new(caller, kind, volume, attachment, operation_id, more))
    event = "attach.start" if kind == "attachment.attach" else "detach.start"
    status = volumes.get(tx, volume.id).status
    cause = Request(operation_id, caller.request_id)
    notifications.of_volume(tx, cause, volume, event, status, attachment_id=attachment.id)
    return Accepted(operation_id, volume.host)


def _forced(force: bool) -> Mapping[str, Any]:
    """The argument of a detach that says so."""
    return {"force": True} if force else {}


def _new(
    caller: RequestContext,
    kind: str,
    volume: Volume,
    attachment: Attachment,
    operation_id: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> NewOperation:
    return NewOperation(
        id=operation_id,
        kind=kind,
        resource_type="attachment",
        resource_id=attachment.id,
        volume_id=volume.id,
        project_id=attachment.project_id,
        user_id=caller.user_id,
        request_id=caller.request_id,
        queue=backend_of(volume.host or ""),
        args={"connector": attachment.connector, "mode": attachment.attach_mode, **more},
    )

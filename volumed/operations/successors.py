"""What begins when an operation has ended: the delete that was asked for while its resource was in work.

A successor is accepted beside the live operation and waits for its end; here it begins, in the transaction of that end.
"""

from sqlalchemy import Connection

from volumed.db import attachments, operations, volumes
from volumed.model.errors import NotFound
from volumed.model.records import Operation
from volumed.model.states import AttachStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.attached import settle


def begin(tx: Connection, ended: Operation) -> Operation | None:
    """Let the successor of what ends in this transaction begin; returned when somebody must be woken for it."""
    successor = operations.successor_of(tx, ended.id)
    if successor is None:
        return None
    try:
        started = _detach(tx, successor) if successor.kind == "attachment.detach" else _delete(tx, successor)
    except NotFound:
        started = False
    if not started:
        operations.end_successor(tx, successor)
        return None
    operations.begin_successor(tx, successor, ended.queue)
    return successor


def _delete(tx: Connection, successor: Operation) -> bool:
    volume = volumes.get(tx, successor.resource_id)
    if volume.status == VolumeStatus.DELETING:  # what ends did not hold it, so the delete began its part at once
        return True
    volumes.move(tx, volume.id, VolumeStatus(volume.status), VolumeStatus.DELETING, error=None)
    notifications.of_volume(tx, successor, volume, "delete.start", VolumeStatus.DELETING)
    return True


def _detach(tx: Connection, successor: Operation) -> bool:
    """An attachment that could not be let in, or was taken back, is gone at once."""
    attachment = attachments.get(tx, successor.resource_id)
    volume = volumes.get(tx, attachment.volume_id)
    if attachment.credentials is None:
        attachments.remove(tx, attachment.id)
        settle(tx, volume.id)
        return False
    attachments.move(tx, attachment.id, AttachStatus(attachment.attach_status), AttachStatus.DETACHING, error=None)
    status = settle(tx, volume.id)
    notifications.of_volume(tx, successor, volume, "detach.start", status, attachment_id=attachment.id)
    return True

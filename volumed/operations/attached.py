"""Keeps a volume's status in step with its attachments, for whoever changes one of them."""

from sqlalchemy import Connection

from volumed.db import attachments, volumes
from volumed.model import attached
from volumed.model.states import VolumeStatus


def settle(tx: Connection, volume_id: str) -> VolumeStatus:
    """Put the volume, whose row is taken, into the status that follows from its attachments."""
    found = VolumeStatus(volumes.get(tx, volume_id).status)
    to = attached.status_of([row.attach_status for row in attachments.of_volume(tx, volume_id)])
    if found not in attached.FOLLOWING or found == to:
        return found
    volumes.move(tx, volume_id, found, to)
    return to

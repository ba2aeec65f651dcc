"""Operations for creates that come without one: another API tier on the same database writes only the volume."""

import uuid

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from volumed.db import operations, placements, volumes
from volumed.db.engine import Database
from volumed.model.records import Volume
from volumed.model.states import VolumeStatus


def operation_of(database: Database, volume_id: str, request_id: str) -> str | None:
    """The id of the create that is live on the volume, made if there is none; None when there is nothing to create."""
    operation_id = str(uuid.uuid4())
    try:
        return database.write(_find_or_make, volume_id, request_id, operation_id)
    except IntegrityError:  # another scheduler made it
        with database.reading() as tx:
            live = operations.live_on(tx, volume_id)
        return None if live is None else live.id


def _find_or_make(tx: Connection, volume_id: str, request_id: str, operation_id: str) -> str | None:
    volume = volumes.find(tx, volume_id)
    live = operations.live_on(tx, volume_id)
    if live is not None:
        return live.id if live.kind == "volume.create" else None
    if volume is None or volume.status != VolumeStatus.CREATING or volume.host is not None:
        return None
    operations.add(tx, _create_of(tx, volume, request_id, operation_id))
    return operation_id


def _create_of(tx: Connection, volume: Volume, request_id: str, operation_id: str) -> operations.NewOperation:
    source_id = volume.snapshot_id or volume.source_volid
    return operations.NewOperation(
        id=operation_id,
        kind="volume.create",
        resource_type="volume",
        resource_id=volume.id,
        volume_id=volume.id,
        project_id=volume.project_id,
        user_id=volume.user_id,
        request_id=request_id,
        queue=operations.SCHEDULER_QUEUE,
        lane="short" if source_id is None else "long",
        source_id=source_id,
        args=placements.create_arguments(tx, volume),
    )

"""Operations for creates that come without one: another API tier on the same database writes only the volume.

The quota is charged as our own API would have charged it, so that a recount agrees.
"""

import uuid

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from volumed.db import operations, placements, quotas, volumes
from volumed.db.engine import Database
from volumed.model import quota_use
from volumed.model.records import Json, Volume
from volumed.model.states import VolumeStatus

#: How often the transaction is run against others that make the same rows at the same time.
TRIES = 3


def operation_of(database: Database, volume_id: str, request_id: str) -> str | None:
    """The id of the create that is live on the volume, made if there is none; None when there is nothing to create.

    Raises ``IllegalMove`` or ``NotFound`` when the volume is changed meanwhile.
    """
    for _ in range(TRIES):
        with database.reading() as tx:
            live = operations.live_on(tx, volume_id)
            volume = volumes.find(tx, volume_id)
            if live is not None:
                return live.id if live.kind == "volume.create" else None
            if volume is None or volume.status != VolumeStatus.CREATING or volume.host is not None:
                return None
            arguments = placements.create_arguments(tx, volume)
        operation_id = str(uuid.uuid4())
        try:
            database.write(_adopt, volume, arguments, request_id, operation_id)
        except IntegrityError:  # another scheduler made it, or a request of the project made the same quota row
            continue
        return operation_id
    return None


def _adopt(tx: Connection, volume: Volume, arguments: Json, request_id: str, operation_id: str) -> None:
    quotas.adjust(tx, volume.project_id, quota_use.of_volume(volume.size, arguments["volume_type"]))
    volumes.move(tx, volume.id, VolumeStatus.CREATING, VolumeStatus.CREATING)
    source_id = volume.snapshot_id or volume.source_volid
    operations.add(
        tx,
        operations.NewOperation(
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
            args=arguments,
        ),
    )

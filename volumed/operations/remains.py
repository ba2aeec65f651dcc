"""What a delete left of a volume, and the operation that purges it: queued in the transaction that ends the delete.

The volume's row may be gone by then, so the operation's arguments tell a driver all that it needs.
"""

import uuid

from sqlalchemy import Connection

from volumed.db import operations
from volumed.db.operations import NewOperation
from volumed.model.records import Json, Operation
from volumed.operations.lanes import IDLE

#: The kind of operation that frees remains.
PURGE = "volume.purge"


def purge_lock(volume_id: str) -> str:
    """The name of the lock of a volume's remains. A volume of the same id may be made anew beside them."""
    return f"purge-{volume_id}"


def arguments(
    pool: str, size: int, facts: Json, storage_id: str | None, detail: str, quota: Json | None = None
) -> Json:
    """What a purge is told of the volume, ``size`` in GiB.

    ``storage_id``: whose allocation it gives back; None: nothing is allocated for it. ``quota``: the ``use`` of
    ``project_id`` that it gives back; None: the delete has done so.
    """
    told = {"pool": pool, "size": size, "facts": facts, "storage_id": storage_id, "detail": detail}
    return told if quota is None else told | {"quota": quota}


def queue_purge(tx: Connection, cause: Operation, volume_id: str, queue: str, args: Json) -> NewOperation:
    """Queue a purge on ``queue``, asked by whoever asked for ``cause``; it keeps no other operation away."""
    purge = NewOperation(
        id=str(uuid.uuid4()),
        kind=PURGE,
        resource_type="leftover",
        resource_id=str(uuid.uuid4()),
        volume_id=volume_id,
        project_id=cause.project_id,
        user_id=cause.user_id,
        request_id=cause.request_id,
        queue=queue,
        lane=IDLE,
        args=args | {"of_operation": cause.id},
    )
    operations.add(tx, purge)
    return purge

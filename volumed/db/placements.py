"""Queries of creates that wait for a place; placing them is in ``operations`` and ``pools``."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from volumed.db.clock import SECOND, now, now_once
from volumed.db.operations import SCHEDULER_QUEUE
from volumed.db.tables import operations, snapshots, volume_types, volumes
from volumed.model.records import Json, Operation, Volume
from volumed.model.states import OperationState, VolumeStatus


def to_place(tx: Connection, operation_id: str) -> tuple[Operation, Volume | None, int] | None:
    """A create that waits for its placement, its volume and the database's time, read at once.

    None when it is not the scheduler's: placed, ended, to be cancelled, or unknown. The volume is None when it is gone.
    """
    row = tx.execute(_TO_PLACE, {"wanted": operation_id}).first()
    if row is None:
        return None
    values: list[Any] = list(row)
    width = len(operations.c)
    volume = None if values[width] is None else Volume(*values[width:-1])
    return Operation(*values[:width]), volume, values[-1]


def stranded(tx: Connection, hosts: Collection[str], limit: int = 100) -> Sequence[str]:
    """Creates that were handed to one of ``hosts`` (``host@backend``) and never taken there; their operations' ids."""
    wanted = select(operations.c.id).where(
        operations.c.queue.in_(sorted(hosts)),
        operations.c.state == OperationState.QUEUED,
        operations.c.claims == 0,
        operations.c.kind == "volume.create",
    )
    return list(tx.execute(wanted.order_by(operations.c.updated_at).limit(limit)).scalars())


def unplaced_volumes(tx: Connection, age: float, limit: int = 100) -> Sequence[Volume]:
    """Volumes that have waited ``age`` seconds for a place without an operation: a foreign API tier's lost casts."""
    wanted = (
        select(volumes)
        .outerjoin(operations, operations.c.live_key == volumes.c.id)
        .where(
            volumes.c.status == VolumeStatus.CREATING,
            volumes.c.updated_at < now_once() - int(age * SECOND),
            volumes.c.host.is_(None),
            operations.c.id.is_(None),
        )
        .limit(limit)
    )
    return [Volume(*row) for row in tx.execute(wanted)]


def create_arguments(tx: Connection, volume: Volume) -> Json:
    """The arguments of the volume's ``volume.create``, made from the rows as a request would have made them."""
    kind = tx.execute(
        select(volume_types.c.name, volume_types.c.extra_specs).where(volume_types.c.id == volume.volume_type_id)
    ).one()
    source = volume.source_volid
    if volume.snapshot_id is not None:
        source = tx.execute(select(snapshots.c.volume_id).where(snapshots.c.id == volume.snapshot_id)).scalar()
    return {
        "size": volume.size,
        "volume_type": kind.name,
        "extra_specs": kind.extra_specs,
        "availability_zone": volume.availability_zone,
        "snapshot_id": volume.snapshot_id,
        "source_volid": volume.source_volid,
        "source_host": source and tx.execute(select(volumes.c.host).where(volumes.c.id == source)).scalar(),
        "multiattach": volume.multiattach,
    }


_TO_PLACE = (
    select(operations, volumes, now())
    .outerjoin(volumes, volumes.c.id == operations.c.volume_id)
    .where(
        operations.c.id == bindparam("wanted"),
        operations.c.queue == SCHEDULER_QUEUE,
        operations.c.state.in_((OperationState.QUEUED, OperationState.WAITING)),
        operations.c.cancel_requested.is_(False),
    )
)

"""What holds a volume: everything that `why` is answered from, read as one."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select

from volumed.db import attachments, services, snapshots, volumes
from volumed.db.tables import operations
from volumed.model.records import Attachment, Operation, Service, Snapshot, Volume
from volumed.model.states import OperationState

#: Operations of one kind of hold that are told of, the oldest.
MOST = 100


@dataclass(frozen=True, slots=True)
class Holds:
    """The volume (None: it is deleted) with what holds it. ``services`` have the seconds since their last report."""

    volume_id: str
    volume: Volume | None
    #: Live operations on the volume, its snapshots and attachments.
    working: list[Operation]
    #: Live operations on others that read the volume or one of its snapshots.
    reading: list[Operation]
    attachments: list[Attachment]
    snapshots: list[Snapshot]
    #: The operation on the volume that was asked for last and has ended.
    ended: Operation | None
    services: list[tuple[Service, float]]


def of_volume(tx: Connection, volume_id: str) -> Holds:
    """What holds the volume now; read it in a snapshot."""
    taken = snapshots.of_volume(tx, volume_id)
    sources = [volume_id, *(each.id for each in taken)]
    return Holds(
        volume_id=volume_id,
        volume=volumes.find(tx, volume_id),
        working=_live(tx, operations.c.volume_id == volume_id),
        reading=[each for each in _live(tx, operations.c.source_id.in_(sources)) if each.volume_id != volume_id],
        attachments=attachments.of_volume(tx, volume_id),
        snapshots=taken,
        ended=_ended(tx, volume_id),
        services=services.all_with_age(tx),
    )


def _live(tx: Connection, about: ColumnElement[bool]) -> list[Operation]:
    wanted = select(operations).where(about, operations.c.live_key.is_not(None))
    rows = tx.execute(wanted.order_by(operations.c.created_at, operations.c.id).limit(MOST))
    return [Operation(*row) for row in rows]


def _ended(tx: Connection, volume_id: str) -> Operation | None:
    wanted = select(operations).where(
        operations.c.resource_id == volume_id,
        operations.c.state.in_((OperationState.SUCCEEDED, OperationState.FAILED)),
    )
    row = tx.execute(wanted.order_by(operations.c.created_at.desc()).limit(1)).first()
    return None if row is None else Operation(*row)

"""What holds a volume: everything that `why` is answered from, read as one."""

from dataclasses import dataclass

from sqlalchemy import Connection, or_, select

from volumed.db import attachments, services, snapshots, volumes
from volumed.db.tables import operations
from volumed.db.tables import snapshots as snapshot_rows
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
    return Holds(
        volume_id=volume_id,
        volume=volumes.find(tx, volume_id),
        working=_live(tx, operations.c.volume_id == volume_id),
        reading=_readers(tx, volume_id),
        attachments=attachments.of_volume(tx, volume_id),
        snapshots=snapshots.of_volume(tx, volume_id),
        ended=_ended(tx, volume_id),
        services=services.all_with_age(tx),
    )


def _readers(tx: Connection, volume_id: str) -> list[Operation]:
    sources = select(snapshot_rows.c.id).where(snapshot_rows.c.volume_id == volume_id)
    reads = or_(operations.c.source_id == volume_id, operations.c.source_id.in_(sources))
    return _live(tx, reads & (operations.c.volume_id != volume_id))


def _live(tx: Connection, about: object) -> list[Operation]:
    wanted = select(operations).where(about, operations.c.live_key.is_not(None))  # type: ignore[arg-type]
    rows = tx.execute(wanted.order_by(operations.c.created_at, operations.c.id).limit(MOST))
    return [Operation(*row) for row in rows]


def _ended(tx: Connection, volume_id: str) -> Operation | None:
    wanted = select(operations).where(
        operations.c.resource_id == volume_id,
        operations.c.state.in_((OperationState.SUCCEEDED, OperationState.FAILED)),
    )
    row = tx.execute(wanted.order_by(operations.c.created_at.desc()).limit(1)).first()
    return None if row is None else Operation(*row)

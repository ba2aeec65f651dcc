"""Queries of the doctor: rows that contradict each other, and what a live operation is touching.

A query that looks for a contradiction reads all of it in one statement or in one ``Database.snapshot``.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, update

from volumed.db.clock import SECOND, now
from volumed.db.tables import attachments, events, idempotency_keys, operations, snapshots, volumes
from volumed.model.findings import REPAIR
from volumed.model.records import Json, Operation, Snapshot, Volume
from volumed.model.states import ENDED, AttachStatus, OperationState, SnapshotStatus, VolumeStatus

_LIVE_STATES = sorted(frozenset(OperationState) - ENDED)
_RESOURCES = {"volume": volumes, "snapshot": snapshots, "attachment": attachments}

#: Statuses that only a live operation may bring to an end.
_TRANSIT = {
    "volume": (
        *(VolumeStatus.CREATING, VolumeStatus.DELETING, VolumeStatus.EXTENDING, VolumeStatus.REVERTING),
        *(VolumeStatus.MANAGING, VolumeStatus.UNMANAGING),
    ),
    "snapshot": (
        *(SnapshotStatus.CREATING, SnapshotStatus.RESTORING, SnapshotStatus.DELETING),
        *(SnapshotStatus.MANAGING, SnapshotStatus.UNMANAGING),
    ),
    "attachment": (AttachStatus.DETACHING,),
}


def touched(tx: Connection) -> frozenset[str]:
    """Ids of everything that a live operation is about, belongs to or reads; repairs do not count."""
    columns = operations.c
    wanted = select(columns.resource_id, columns.volume_id, columns.source_id)
    rows = tx.execute(wanted.where(columns.state.in_(_LIVE_STATES), columns.kind != REPAIR))
    return frozenset(each for row in rows for each in row if each is not None)


def sizes_on(tx: Connection, host: str) -> dict[str, tuple[str, int]]:
    """Status and GiB of every volume on ``host@backend``."""
    wanted = select(volumes.c.id, volumes.c.status, volumes.c.size)
    return {row[0]: (row[1], row[2]) for row in tx.execute(wanted.where(_on(host)))}


def snapshot_sizes_on(tx: Connection, host: str) -> dict[str, tuple[str, int, str]]:
    """Status, GiB and volume of every snapshot of a volume on ``host@backend``."""
    columns = snapshots.c
    wanted = select(columns.id, columns.status, columns.size, columns.volume_id)
    rows = tx.execute(wanted.join(volumes, volumes.c.id == columns.volume_id).where(_on(host)))
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def ids_on_storage(tx: Connection, storage_ids: Collection[str]) -> frozenset[str]:
    """Ids of every volume and snapshot there, whichever service has it."""
    here = volumes.c.storage_id.in_(sorted(storage_ids))
    its_snapshots = select(snapshots.c.id).join(volumes, volumes.c.id == snapshots.c.volume_id).where(here)
    return frozenset(tx.execute(select(volumes.c.id).where(here).union_all(its_snapshots)).scalars())


def _on(host: str) -> ColumnElement[bool]:
    return volumes.c.host.startswith(host + "#", autoescape=True)


# --- in transit, and nobody carries it --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stranded:
    """A resource in transit without an operation, for ``seconds`` now."""

    resource_type: str
    id: str
    volume_id: str
    status: str
    seconds: int


def stranded(tx: Connection, age: float) -> list[Stranded]:
    """Everything that has been in transit for ``age`` seconds without an operation."""
    return [each for resource_type in _RESOURCES for each in _stranded(tx, resource_type, age)]


def _stranded(tx: Connection, resource_type: str, age: float) -> list[Stranded]:
    table = _RESOURCES[resource_type]
    volume_id = table.c.id if resource_type == "volume" else table.c.volume_id
    status = table.c.attach_status if resource_type == "attachment" else table.c.status
    waiting = now() - table.c.updated_at
    wanted = (
        select(table.c.id, volume_id, status, waiting)
        .outerjoin(operations, operations.c.live_key == table.c.id)
        .where(status.in_(_TRANSIT[resource_type]), waiting > int(age * SECOND), operations.c.id.is_(None))
    )
    return [Stranded(resource_type, row[0], row[1], row[2], int(row[3] // SECOND)) for row in tx.execute(wanted)]


# --- operations -------------------------------------------------------------------------------------------------------


def ended_with_key(tx: Connection) -> list[Operation]:
    """Ended operations that still keep their resource from others."""
    wanted = select(operations).where(operations.c.live_key.is_not(None), operations.c.state.in_(sorted(ENDED)))
    return [Operation(*row) for row in tx.execute(wanted)]


def drop_key(tx: Connection, operation_id: str) -> None:
    """Let an ended operation's resource go."""
    ended = update(operations).where(operations.c.id == operation_id, operations.c.state.in_(sorted(ENDED)))
    tx.execute(ended.values(live_key=None, updated_at=now()))


def without_resource(tx: Connection, age: float) -> list[Operation]:
    """Live operations whose resource is gone, unchanged for ``age`` seconds: nobody ends them any more."""
    wanted = select(operations).where(
        operations.c.state.in_(_LIVE_STATES), operations.c.updated_at < now() - int(age * SECOND), _resource_is_gone()
    )
    return [Operation(*row) for row in tx.execute(wanted)]


def end_without_resource(tx: Connection, operation_id: str, error: Json) -> None:
    """End such an operation ``failed``; whoever may still have it loses it."""
    alive = update(operations).where(
        operations.c.id == operation_id, operations.c.state.in_(_LIVE_STATES), _resource_is_gone()
    )
    ended = {"ended_at": now(), "updated_at": now(), "epoch": operations.c.epoch + 1}
    tx.execute(alive.values(state=OperationState.FAILED, error=error, live_key=None, wait_reason=None, **ended))


def _resource_is_gone() -> ColumnElement[bool]:
    kinds = (
        (operations.c.resource_type == resource_type) & ~exists().where(table.c.id == operations.c.resource_id)
        for resource_type, table in _RESOURCES.items()
    )
    return or_(*kinds)


def poisonous(tx: Connection, claims: int) -> list[Operation]:
    """Operations given up after more than ``claims`` claims, whose volume is there and that nothing made good since."""
    later = operations.alias("later")
    wanted = select(operations).where(
        operations.c.state == OperationState.FAILED,
        operations.c.claims > claims,
        operations.c.kind.not_in(("cleanup", "volume.purge", REPAIR)),
        exists().where(volumes.c.id == operations.c.volume_id),
        ~exists().where(later.c.resource_id == operations.c.resource_id, later.c.created_at > operations.c.created_at),
    )
    return [Operation(*row) for row in tx.execute(wanted)]


def failed_on(tx: Connection, host: str, kind: str) -> list[Operation]:
    """Cleanups or purges (``kind``) on ``host@backend`` that were given up and not made good since."""
    wanted = select(operations).where(
        operations.c.kind == kind, operations.c.state == OperationState.FAILED, operations.c.queue == host
    )
    return [each for each in (Operation(*row) for row in tx.execute(wanted)) if "repaired_by" not in each.args]


def mark_repaired(tx: Connection, operation: Operation, repair_id: str) -> None:
    """Note on a failed cleanup or purge which operation has done its work."""
    row = update(operations).where(operations.c.id == operation.id)
    tx.execute(row.values(args=operation.args | {"repaired_by": repair_id}, updated_at=now()))


# --- attachments, outbox, keys ----------------------------------------------------------------------------------------


def attach_statuses(tx: Connection, statuses: tuple[str, ...]) -> dict[str, tuple[str, list[str]]]:
    """The volumes in ``statuses`` with the statuses of their attachments."""
    wanted = (
        select(volumes.c.id, volumes.c.status, attachments.c.attach_status)
        .outerjoin(attachments, attachments.c.volume_id == volumes.c.id)
        .where(volumes.c.status.in_(statuses))
    )
    found: dict[str, tuple[str, list[str]]] = {}
    for volume_id, status, attach_status in tx.execute(wanted):
        of_volume = found.setdefault(volume_id, (status, []))[1]
        if attach_status is not None:
            of_volume.append(attach_status)
    return found


def unpublished(tx: Connection, age: float) -> tuple[int, int]:
    """How many events have waited ``age`` seconds to be published, and the seconds of the oldest."""
    waiting = now() - events.c.created_at
    wanted = select(func.count(), func.max(waiting)).where(
        events.c.published.is_(False), events.c.created_at < now() - int(age * SECOND)
    )
    number, oldest = tx.execute(wanted).one()
    return int(number), int((oldest or 0) // SECOND)


def keys_kept(tx: Connection, age: float) -> int:
    """How many idempotency keys are older than ``age`` seconds."""
    wanted = select(func.count()).select_from(idempotency_keys)
    return int(tx.execute(wanted.where(idempotency_keys.c.created_at < now() - int(age * SECOND))).scalar_one())


def volumes_by_id(tx: Connection, ids: list[str]) -> dict[str, Volume]:
    """The rows of some volumes."""
    return {row.id: Volume(*row) for row in tx.execute(select(volumes).where(volumes.c.id.in_(ids)))}


def snapshots_by_id(tx: Connection, ids: list[str]) -> dict[str, Snapshot]:
    """The rows of some snapshots."""
    return {row.id: Snapshot(*row) for row in tx.execute(select(snapshots).where(snapshots.c.id.in_(ids)))}

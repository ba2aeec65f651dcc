"""Queries of volumes."""

from sqlalchemy import Connection, func, select

from volumed.db.clock import SECOND, now
from volumed.db.rows import Rows
from volumed.db.tables import operations, volumes
from volumed.model.records import Volume
from volumed.model.states import VOLUME_MOVES, VolumeStatus

_ROWS = Rows(volumes, Volume, "volume", VOLUME_MOVES)
add, get, find, touch, change, move, remove = (
    _ROWS.add,
    _ROWS.get,
    _ROWS.find,
    _ROWS.touch,
    _ROWS.change,
    _ROWS.move,
    _ROWS.remove,
)

#: Statuses in which a volume must have a live operation; without one, its message was lost before it had one.
IN_TRANSIT = (VolumeStatus.CREATING, VolumeStatus.DELETING, VolumeStatus.EXTENDING)


def in_transit_without_operation(tx: Connection, host: str, age: float, limit: int = 100) -> list[Volume]:
    """Volumes placed on ``host@backend`` in transit for ``age`` seconds that no live operation works on.

    A foreign API tier on the same database makes such rows; its cast may be lost.
    """
    wanted = (
        select(volumes)
        .outerjoin(operations, operations.c.live_key == volumes.c.id)
        .where(
            volumes.c.status.in_(IN_TRANSIT),
            volumes.c.updated_at < now() - int(age * SECOND),
            volumes.c.host.startswith(host + "#", autoescape=True),
            operations.c.id.is_(None),
        )
        .limit(limit)
    )
    return [Volume(*row) for row in tx.execute(wanted)]


def placed_on(tx: Connection, host: str) -> list[Volume]:
    """Every volume on ``host@backend``."""
    wanted = select(volumes).where(volumes.c.host.startswith(host + "#", autoescape=True))
    return [Volume(*row) for row in tx.execute(wanted)]


def allocation_of(tx: Connection, storage_id: str) -> tuple[int, int]:
    """GiB and number of the volumes counted on a storage, from the rows themselves."""
    counted = select(func.coalesce(func.sum(volumes.c.size), 0), func.count()).where(volumes.c.storage_id == storage_id)
    row = tx.execute(counted).one()
    return int(row[0]), int(row[1])

"""What operations came to since somebody last looked, and what is alive now: for counters, at a bounded cost."""

from collections.abc import Sequence

from sqlalchemy import Connection, and_, func, or_, select

from volumed.db.clock import now
from volumed.db.tables import operations, pools
from volumed.model.records import Operation

#: Where a reader stands: the end and the id of the last operation that it saw.
Place = tuple[int, str]


def present(tx: Connection) -> int:
    """The database's time."""
    return int(tx.execute(select(now())).scalar_one())


def ended_since(tx: Connection, place: Place, limit: int) -> Sequence[Operation]:
    """Up to ``limit`` operations that ended behind ``place``, in the order of their ends."""
    ended_at, last_id = place
    columns = operations.c
    behind = and_(
        columns.ended_at >= ended_at,
        or_(columns.ended_at > ended_at, and_(columns.ended_at == ended_at, columns.id > last_id)),
    )
    wanted = select(operations).where(behind).order_by(columns.ended_at, columns.id).limit(limit)
    return [Operation(*row) for row in tx.execute(wanted)]


def live_counts(tx: Connection) -> dict[tuple[str, str], int]:
    """How many operations are alive, by kind and state."""
    columns = operations.c
    wanted = select(columns.kind, columns.state, func.count()).where(columns.live_key.is_not(None))
    return {(row[0], row[1]): row[2] for row in tx.execute(wanted.group_by(columns.kind, columns.state))}


def allocations(tx: Connection, limit: int) -> list[tuple[str, int, int]]:
    """GiB and volumes allocated on up to ``limit`` storages."""
    wanted = select(pools.c.storage_id, pools.c.allocated, pools.c.volumes).order_by(pools.c.storage_id)
    return [(row[0], row[1], row[2]) for row in tx.execute(wanted.limit(limit))]

"""What we use of each storage: changed only in the transaction that places, resizes or frees.

Always the last row that a transaction takes: every placement on a storage queues up here.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, exists, insert, select, update

from volumed.db.clock import now
from volumed.db.tables import pools, services


def ensure(tx: Connection, storage_id: str) -> None:
    """Make the storage's row if there is none."""
    if tx.execute(select(pools.c.storage_id).where(pools.c.storage_id == storage_id)).first() is None:
        tx.execute(insert(pools).values(storage_id=storage_id, allocated=0, volumes=0, updated_at=now()))


def allocate(tx: Connection, storage_id: str, size: int, ceiling: float, backend: str) -> bool:
    """Spend ``size`` GiB for one volume unless that passes ``ceiling`` GiB or the service ``backend`` is disabled."""
    enabled = exists().where(services.c.host == backend, services.c.disabled.is_(False))
    spent = (
        update(pools)
        .where(pools.c.storage_id == storage_id, pools.c.allocated + size <= int(ceiling), enabled)
        .values(allocated=pools.c.allocated + size, volumes=pools.c.volumes + 1, updated_at=now())
    )
    return bool(tx.execute(spent).rowcount)


def adjust(tx: Connection, storage_id: str, size: int, volumes: int) -> None:
    """Change the allocation by ``size`` GiB and ``volumes`` volumes, either sign."""
    changed = update(pools).where(pools.c.storage_id == storage_id)
    tx.execute(changed.values(allocated=pools.c.allocated + size, volumes=pools.c.volumes + volumes, updated_at=now()))


def allocations(tx: Connection, storage_ids: Iterable[str] | None = None) -> dict[str, tuple[int, int]]:
    """GiB and volumes allocated on each storage."""
    wanted = select(pools.c.storage_id, pools.c.allocated, pools.c.volumes)
    if storage_ids is not None:
        wanted = wanted.where(pools.c.storage_id.in_(list(storage_ids)))
    return {row[0]: (row[1], row[2]) for row in tx.execute(wanted)}

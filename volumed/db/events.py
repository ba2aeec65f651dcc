"""The outbox: one row for each status change, numbered within its resource, published by one publisher."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from volumed.db.clock import SECOND, now
from volumed.db.tables import events
from volumed.model.records import Event, Json


def add(
    tx: Connection,
    resource_type: str,
    resource_id: str,
    project_id: str,
    event_type: str,
    payload: Json,
    operation_id: str | None = None,
    request_id: str | None = None,
) -> None:
    """Write an event in the transaction of the change that it tells of.

    The caller has changed the resource's row before in the same transaction: so the number cannot be taken twice.
    """
    tx.execute(
        _INSERT,
        {
            "resource_type": resource_type,
            "resource_id": resource_id,
            "project_id": project_id,
            "event_type": event_type,
            "operation_id": operation_id,
            "request_id": request_id,
            "payload": payload,
            "numbered_resource": resource_id,
        },
    )


def of_operations(tx: Connection, operation_ids: Collection[str], limit: int) -> list[Event]:
    """Events of the operations, in the order in which they happened."""
    wanted = select(events).where(events.c.operation_id.in_(list(operation_ids)))
    return [Event(*row) for row in tx.execute(wanted.order_by(events.c.id).limit(limit))]


def unpublished(tx: Connection, limit: int = 200) -> list[Event]:
    """The oldest events that were not published yet."""
    wanted = select(events).where(events.c.published.is_(False)).order_by(events.c.id).limit(limit)
    return [Event(*row) for row in tx.execute(wanted)]


def mark_published(tx: Connection, ids: Sequence[int]) -> None:
    """The events were handed to the broker."""
    if ids:
        tx.execute(update(events).where(events.c.id.in_(list(ids))).values(published=True))


def prune(tx: Connection, retention: float, limit: int = 500) -> int:
    """Delete up to ``limit`` published events older than ``retention`` seconds; how many were deleted."""
    wanted = select(events.c.id).where(
        events.c.created_at < now() - int(retention * SECOND), events.c.published.is_(True)
    )
    old = [row[0] for row in tx.execute(wanted.limit(limit))]
    if old:
        tx.execute(delete(events).where(events.c.id.in_(old)))
    return len(old)


_INSERT = insert(events).values(
    sequence=select(func.coalesce(func.max(events.c.sequence), 0) + 1)
    .where(events.c.resource_id == bindparam("numbered_resource"))
    .scalar_subquery(),
    created_at=now(),
    published=False,
)

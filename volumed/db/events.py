"""The outbox: one row for each status change, numbered within its resource, published by one publisher.

And the stream: a second number, the position, orders the events of all resources as readers see them. It is given after
the commit (``docs/decisions/0008-events-are-numbered-twice.md``), so nothing can appear behind a reader's back.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from volumed.db.clock import SECOND, now, now_once
from volumed.db.tables import event_positions, events
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
    """Delete up to ``limit`` published events older than ``retention`` seconds; how many were deleted.

    The last position among them is kept, so that a reader who resumes from before it is told.
    """
    wanted = select(events.c.id, events.c.position).where(
        events.c.created_at < now_once() - int(retention * SECOND), events.c.published.is_(True)
    )
    old = tx.execute(wanted.order_by(events.c.created_at).limit(limit)).all()
    if not old:
        return 0
    last = max((row[1] for row in old if row[1] is not None), default=0)
    further = update(event_positions).where(event_positions.c.forgotten < last)
    tx.execute(further.values(forgotten=last))
    tx.execute(delete(events).where(events.c.id.in_([row[0] for row in old])))
    return len(old)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a reader wants; None: any."""

    project_id: str | None = None
    resource_id: str | None = None
    event_type: str | None = None

    def has(self, event: Event) -> bool:
        """Whether ``event`` is one of them."""
        return (
            self.project_id in {None, event.project_id}
            and self.resource_id in {None, event.resource_id}
            and self.event_type in {None, event.event_type}
        )


@dataclass(frozen=True, slots=True)
class Positions:
    """The last position that was given, and the last one whose event may be gone."""

    last: int
    forgotten: int


def positions(tx: Connection) -> Positions:
    """How far the stream goes. Read ``forgotten`` after the events: what is behind it then was complete."""
    row = tx.execute(select(event_positions.c.last, event_positions.c.forgotten)).first()
    return Positions(0, 0) if row is None else Positions(*row)


def are_unnumbered(tx: Connection) -> bool:
    """Whether an event has no position yet."""
    return tx.execute(select(events.c.id).where(events.c.position.is_(None)).limit(1)).first() is not None


def number(tx: Connection, limit: int = 500) -> int:
    """Give up to ``limit`` events their positions; how many got one. Anybody may call it, at any time.

    The counter's lock is taken before the events are read and kept to the commit: positions become visible in their
    order, also where several processes number at once.
    """
    last = _take_counter(tx)
    unnumbered = select(events.c.id).where(events.c.position.is_(None)).order_by(events.c.id).limit(limit)
    ids = [row[0] for row in tx.execute(unnumbered)]
    if ids:
        given = [{"numbered": event_id, "place": last + place} for place, event_id in enumerate(ids, 1)]
        tx.execute(_GIVE_POSITION, given)
        tx.execute(update(event_positions).values(last=last + len(ids)))
    return len(ids)


def behind(tx: Connection, wanted: Wanted, position: int, last: int, limit: int) -> list[Event]:
    """Up to ``limit`` of the ``wanted`` events behind ``position``, up to ``last``, in the stream's order."""
    columns = {"project_id": wanted.project_id, "resource_id": wanted.resource_id, "event_type": wanted.event_type}
    found = select(events).where(events.c.position > position, events.c.position <= last)
    found = found.where(*(events.c[name] == value for name, value in columns.items() if value is not None))
    return [Event(*row) for row in tx.execute(found.order_by(events.c.position).limit(limit))]


def _take_counter(tx: Connection) -> int:
    tx.execute(update(event_positions).values(last=event_positions.c.last))
    last = tx.execute(select(event_positions.c.last)).scalar()
    if last is None:
        tx.execute(insert(event_positions).values(singleton=1, last=0, forgotten=0))
    return last or 0


_GIVE_POSITION = update(events).where(events.c.id == bindparam("numbered")).values(position=bindparam("place"))


#: A number of a resource is never higher than its event's position, so behind what is forgotten no number comes again.
_INSERT = insert(events).values(
    sequence=func.coalesce(
        select(func.max(events.c.sequence))
        .where(events.c.resource_id == bindparam("numbered_resource"))
        .scalar_subquery(),
        select(event_positions.c.forgotten).scalar_subquery(),
        0,
    )
    + 1,
    created_at=now(),
    published=False,
)

"""Queries of the operation record.

Every write of a worker goes through ``_held``: it changes the row only while the worker's epoch is the row's own, else
``LostHold`` rolls the whole transaction back. Callers change quota and resources first and the operation after them
(one order for all: quota, resources by id, operation, pool), so the check stands at the end of the transaction, not at
its beginning: what a lost worker wrote before it is rolled back with it.
"""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    exists,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)

from volumed.db import pages, proofs
from volumed.db.clock import SECOND, now, now_once
from volumed.db.pages import Listing
from volumed.db.tables import operations, services
from volumed.model import tracing
from volumed.model.errors import BusyResource, CancelRequested, LostHold, NotFound
from volumed.model.records import Json, Operation
from volumed.model.states import OPERATION_MOVES, OperationState

#: The queue of operations that wait for a placement.
SCHEDULER_QUEUE = "scheduler"

#: Begins the queue of an operation that waits for the end of another one, whose id follows. No service looks there.
AFTER = "after:"

#: Seconds that an operation pauses at most. One that claims to pause longer has met a clock that was set back.
LONGEST_PAUSE = 300.0

_O = OperationState
_TAKEN = (_O.RUNNING, _O.UNDOING)
#: Named in what looks through a queue, so that the index passes over all that has ended.
_LIVE = (_O.QUEUED, _O.WAITING, _O.RUNNING, _O.UNDOING)


@dataclass(frozen=True, slots=True)
class NewOperation:
    """An operation as a request makes it. ``queue`` is ``scheduler`` or ``host@backend``; ``lane`` short or long."""

    id: str
    kind: str
    resource_type: str
    resource_id: str
    volume_id: str
    project_id: str
    user_id: str
    request_id: str
    queue: str
    lane: str = "short"
    source_id: str | None = None
    args: Json = field(default_factory=dict)


def add(tx: Connection, new: NewOperation, live_key: str | None = None) -> None:
    """Insert ``new`` as ``queued``. A live operation on the same resource: ``IntegrityError`` on ``live_key``."""
    proofs.by_id(tx, operations, new.id)
    tx.execute(
        _INSERT,
        {
            "id": new.id,
            "kind": new.kind,
            "resource_type": new.resource_type,
            "resource_id": new.resource_id,
            "volume_id": new.volume_id,
            "source_id": new.source_id,
            "project_id": new.project_id,
            "user_id": new.user_id,
            "request_id": new.request_id,
            "queue": new.queue,
            "state": _O.QUEUED,
            "lane": new.lane,
            "live_key": live_key or new.resource_id,
            "args": {**new.args, **tracing.carried()},
        },
    )


def add_ended(tx: Connection, new: NewOperation) -> None:
    """Insert ``new`` as ``succeeded``: its work was done in the transaction that accepts it."""
    add(tx, new)
    ended = update(operations).where(operations.c.id == new.id)
    tx.execute(ended.values(state=_O.SUCCEEDED, live_key=None, **_ending()))


def get(tx: Connection, operation_id: str) -> Operation:
    """The operation. Raises ``NotFound``."""
    row = tx.execute(_BY_ID, {"wanted": operation_id}).first()
    if row is None:
        raise NotFound(resource_type="operation", resource_id=operation_id)
    return Operation(*row)


def live_on(tx: Connection, resource_id: str) -> Operation | None:
    """The live operation on the resource, if any."""
    row = tx.execute(select(operations).where(operations.c.live_key == resource_id)).first()
    return None if row is None else Operation(*row)


def holders_of(tx: Connection, resource_id: str, limit: int = 1) -> Sequence[Operation]:
    """Live operations that read the resource as their source: it must not change meanwhile."""
    wanted = select(operations).where(operations.c.source_id == resource_id, operations.c.live_key.is_not(None))
    return [Operation(*row) for row in tx.execute(wanted.limit(limit))]


def refuse_if_on_it(tx: Connection, resource_type: str, resource_id: str) -> None:
    """Raise ``BusyResource`` when a live operation is on the resource; those that only read it are fine."""
    holder = live_on(tx, resource_id)
    if holder is not None:
        raise BusyResource(
            resource_type=resource_type, resource_id=resource_id, operation_id=holder.id, kind=holder.kind
        )


def refuse_if_held(tx: Connection, resource_type: str, resource_id: str) -> None:
    """Raise ``BusyResource`` when a live operation is on the resource or reads it. Take its row first."""
    holder = live_on(tx, resource_id) or next(iter(holders_of(tx, resource_id)), None)
    if holder is not None:
        raise BusyResource(
            resource_type=resource_type, resource_id=resource_id, operation_id=holder.id, kind=holder.kind
        )


def claim(
    tx: Connection, operation_id: str, queue: str, worker: str, token: str, dropped: bool = False, rested: bool = False
) -> Operation | None:
    """Take the operation for ``worker`` when it is due on ``queue``; None when there is nothing to take.

    Due are queued ones, those whose pause is over, and those that another incarnation left behind: there is one process
    for a queue of a backend, so a worker that is not this one is gone. ``dropped``: this worker's own too, which it
    could not end because the database was away. ``rested``: its pause is over by the worker's own timer, whatever the
    clock says.
    """
    values = {
        "state": case((operations.c.state == _O.UNDOING, _O.UNDOING.value), else_=_O.RUNNING.value),
        "worker": worker,
        "claim_token": token,
        "epoch": operations.c.epoch + 1,
        "claims": operations.c.claims + 1,
        "wait_reason": None,
        "updated_at": now(),
    }
    taken = tx.execute(
        update(operations)
        .where(
            operations.c.id == operation_id,
            operations.c.queue == queue,
            or_(_due(worker, 0, rested), and_(operations.c.state.in_(_TAKEN), operations.c.worker == worker))
            if dropped
            else _due(worker, 0, rested),
        )
        .values(values)
    )
    if not taken.rowcount:
        return None
    _prove_by_token(tx, operation_id, token)
    return get(tx, operation_id)


@dataclass(frozen=True, slots=True)
class Due:
    """What a worker should take. ``claims``: how often it was taken without coming to a rest in order."""

    id: str
    lane: str
    claims: int


def due(tx: Connection, queue: str, worker: str, age: float, limit: int = 500) -> Sequence[Due]:
    """What ``worker`` should take from ``queue``: queued for ``age`` seconds, paused long enough, or orphaned."""
    wanted = (
        select(operations.c.id, operations.c.lane, operations.c.claims)
        .where(operations.c.queue == queue, operations.c.state.in_(_LIVE), _due(worker, age))
        .order_by(operations.c.updated_at)
        .limit(limit)
    )
    return [Due(*row) for row in tx.execute(wanted)]


def due_again(tx: Connection, ids: Collection[str]) -> list[Due]:
    """The same of operations that are ours already and that nobody runs."""
    wanted = select(operations.c.id, operations.c.lane, operations.c.claims)
    return [Due(*row) for row in tx.execute(wanted.where(operations.c.id.in_(list(ids))))]


def _due(worker: str, age: float, rested: bool = False) -> Any:
    columns = operations.c
    queued = columns.state == _O.QUEUED
    if age:
        queued = and_(queued, columns.updated_at <= now() - int(age * SECOND))
    impossible = now() + int(2 * LONGEST_PAUSE * SECOND)
    is_over = true() if rested else or_(columns.not_before <= now(), columns.not_before > impossible)
    return or_(
        queued,
        and_(columns.state == _O.WAITING, or_(is_over, columns.cancel_requested.is_(True))),
        and_(columns.state.in_(_TAKEN), columns.worker != worker),
        and_(columns.state == _O.UNDOING, columns.worker.is_(None), is_over),
    )


def left_behind(tx: Connection, volume_id: str) -> list[tuple[str, str]]:
    """Storages where something half-made of the volume is still to be removed, each with who does, ``host@backend``.

    A cleanup that failed has not removed it either, unless the doctor made it good; one whose service was removed for
    good removes nothing any more.
    """
    columns = operations.c
    unfinished = columns.state.in_([*_LIVE, _O.FAILED])
    is_known = exists().where(services.c.host == columns.queue)
    wanted = select(columns.args, columns.queue).where(
        columns.volume_id == volume_id, columns.kind == "cleanup", unfinished, is_known
    )
    return [
        (args["storage_id"], queue)
        for args, queue in tx.execute(wanted)
        if args.get("storage_id") and "repaired_by" not in args
    ]


def live_in(tx: Connection, queue: str, limit: int = 500) -> list[str]:
    """The ids of the live operations in a queue, oldest first."""
    wanted = select(operations.c.id).where(operations.c.queue == queue, operations.c.state.in_(_LIVE))
    return list(tx.execute(wanted.order_by(operations.c.updated_at).limit(limit)).scalars())


def place(tx: Connection, operation_id: str, attempt: int, queue: str, placement: Json) -> bool:
    """Hand the operation from the scheduler to ``queue``; False when another scheduler was first."""
    return _change_by_scheduler(
        tx, operation_id, attempt, queue=queue, state=_O.QUEUED, placement=placement, wait_reason=None, updated_at=now()
    )


def move_over(tx: Connection, operation_id: str, attempt: int, lost: str, queue: str, placement: Json) -> bool:
    """Hand the operation from ``lost``, whose service never took it, to ``queue``; False when it was after all."""
    moved = update(operations).where(
        operations.c.id == operation_id,
        operations.c.queue == lost,
        operations.c.attempt == attempt,
        operations.c.state == _O.QUEUED,
        operations.c.claims == 0,
    )
    token = str(uuid.uuid4())
    values = {"queue": queue, "placement": placement, "claim_token": token, "updated_at": now()}
    if not tx.execute(moved.values(values)).rowcount:
        return False
    _prove_by_token(tx, operation_id, token)
    return True


def postpone(
    tx: Connection, operation_id: str, attempt: int, reason: str, pause: float, placement: Json | None
) -> bool:
    """Let the operation wait ``pause`` seconds for the scheduler's next look; ``reason`` is shown meanwhile."""
    return _change_by_scheduler(
        tx,
        operation_id,
        attempt,
        state=_O.WAITING,
        wait_reason=reason,
        not_before=now() + int(pause * SECOND),
        placement=placement,
        updated_at=now(),
    )


def refuse(tx: Connection, operation_id: str, attempt: int, error: Json, placement: Json | None) -> bool:
    """End the operation ``failed`` by the scheduler; False when it is no longer the scheduler's."""
    return _change_by_scheduler(
        tx, operation_id, attempt, state=_O.FAILED, error=error, placement=placement, live_key=None, **_ending()
    )


def _change_by_scheduler(tx: Connection, operation_id: str, attempt: int, **values: Any) -> bool:
    token = str(uuid.uuid4())
    changed = update(operations).where(
        operations.c.id == operation_id,
        operations.c.queue == SCHEDULER_QUEUE,
        operations.c.attempt == attempt,
        operations.c.state.in_((_O.QUEUED, _O.WAITING)),
    )
    if not tx.execute(changed.values(claim_token=token, **values)).rowcount:
        return False
    _prove_by_token(tx, operation_id, token)
    return True


def _prove_by_token(tx: Connection, operation_id: str, token: str) -> None:
    """The row keeps the token until the next one who has the operation writes."""
    proofs.by_token(tx, operations, operation_id, operations.c.claim_token, token)


def note(tx: Connection, operation: Operation, timeline: Sequence[Json]) -> None:
    """Write the timeline of a long operation while it runs: it goes on, so earlier claims are no sign of trouble."""
    _held(tx, operation, timeline=list(timeline), wait_reason=None, claims=0)


def note_blocked(tx: Connection, operation: Operation, reason: str) -> None:
    """Say what the operation's thread is held up by; it goes on as soon as that answers."""
    _held(tx, operation, wait_reason=reason)


def is_cancel_requested(tx: Connection, operation_id: str) -> bool:
    """Whether the operation is to be cancelled."""
    return bool(tx.execute(select(operations.c.cancel_requested).where(operations.c.id == operation_id)).scalar())


def request_cancel(tx: Connection, operation_id: str, error: Json, unbegun: Operation | None = None) -> bool:
    """Ask whoever has the live operation to undo it; ``error`` says who asked. Asked again, the first one stays.

    ``unbegun``: the operation as it was read, never begun and not to be cancelled once it is. From here on it is taken
    back, whatever dies; False when a worker has taken it meanwhile.
    """
    wanted = [operations.c.id == operation_id, operations.c.live_key.is_not(None)]
    values = {"cancel_requested": True, "error": _unless_cancelled(error), "updated_at": now()}
    if unbegun is not None:
        wanted.append(operations.c.epoch == unbegun.epoch)
        values |= {"state": _O.UNDOING.value, "worker": None, "not_before": now(), "wait_reason": None}
    return bool(tx.execute(update(operations).where(*wanted).values(values)).rowcount)


def force(tx: Connection, operation: Operation) -> None:
    """Say so to whoever takes the live operation next, which is at once where it waits."""
    soon = case((operations.c.state == _O.WAITING, now()), else_=operations.c.not_before)
    told = update(operations).where(operations.c.id == operation.id, operations.c.state.in_(_LIVE))
    tx.execute(told.values(args=operation.args | {"force": True}, not_before=soon, updated_at=now()))


def _unless_cancelled(error: Json) -> ColumnElement[Json]:
    """``error``, unless the row says already who asked for its cancellation."""
    asked = (operations.c.cancel_requested.is_(True), operations.c.error)
    return case(asked, else_=literal(error, operations.c.error.type))


def add_after(tx: Connection, new: NewOperation, operation_id: str, reason: str, holds: bool = False) -> None:
    """Insert ``new``, which begins when the live operation ``operation_id`` on the same resource has ended.

    ``holds``: the other one does not hold the resource, so ``new`` does from now on.
    """
    add(tx, replace(new, queue=AFTER + operation_id), live_key=new.resource_id if holds else new.id)
    waiting = update(operations).where(operations.c.id == new.id)
    tx.execute(waiting.values(state=_O.WAITING, wait_reason=reason))


def flatten_of(tx: Connection, volume_id: str) -> Operation | None:
    """The live flattening of the volume, if any. It holds the volume against nobody; its end takes the volume's row."""
    wanted = select(operations).where(
        operations.c.volume_id == volume_id, operations.c.kind == "volume.flatten", operations.c.live_key.is_not(None)
    )
    row = tx.execute(wanted).first()
    return None if row is None else Operation(*row)


def refuse_if_flattened(tx: Connection, volume_id: str) -> None:
    """Raise ``BusyResource`` while the volume is flattened, for what takes the volume away. Take its row first."""
    if (flatten := flatten_of(tx, volume_id)) is not None:
        raise BusyResource(resource_type="volume", resource_id=volume_id, operation_id=flatten.id, kind=flatten.kind)


def successor_of(tx: Connection, operation_id: str) -> Operation | None:
    """The operation that begins when this one has ended, if any."""
    row = tx.execute(select(operations).where(operations.c.queue == AFTER + operation_id).limit(1)).first()
    return None if row is None else Operation(*row)


def begin_successor(tx: Connection, successor: Operation, queue: str) -> None:
    """Let the successor be taken on ``queue``: what it waited for has ended in this transaction."""
    tx.execute(
        update(operations)
        .where(operations.c.id == successor.id, operations.c.state == _O.WAITING)
        .values(queue=queue, state=_O.QUEUED, live_key=successor.resource_id, wait_reason=None, updated_at=now())
    )


def end_successor(tx: Connection, successor: Operation, error: Json | None = None) -> None:
    """End the successor with what it waited for: nothing is left to do for it, or (``error``) it cannot be done."""
    ended = _O.SUCCEEDED if error is None else _O.FAILED
    tx.execute(
        update(operations)
        .where(operations.c.id == successor.id, operations.c.state == _O.WAITING)
        .values(state=ended, error=error, live_key=None, **_ending())
    )


def begin_undo(tx: Connection, operation: Operation, error: Json, timeline: Sequence[Json]) -> None:
    """From here on the operation is taken back, also after a crash."""
    _held(tx, operation, _O.UNDOING, error=_unless_cancelled(error), timeline=list(timeline), wait_reason=None)


def pause_undo(
    tx: Connection, operation: Operation, reason: str, pause: float, timeline: Sequence[Json], claims: int = 0
) -> None:
    """Go on with the undo in ``pause`` seconds; no thread waits for it. ``claims``: as for ``wait``."""
    _held(
        tx,
        operation,
        _O.UNDOING,
        worker=None,
        wait_reason=reason,
        not_before=now() + int(pause * SECOND),
        timeline=list(timeline),
        claims=claims,
    )


def requeue(
    tx: Connection, operation: Operation, queue: str, tried: Sequence[Json], error: Json, timeline: Sequence[Json]
) -> None:
    """Give the undone operation back for another placement. Raises ``CancelRequested`` when it is to be cancelled."""
    _held(
        tx,
        operation,
        _O.QUEUED,
        heeds_cancel=True,
        queue=queue,
        claims=0,
        wait_reason=None,
        attempt=operation.attempt + 1,
        tried=list(tried),
        error=error,
        worker=None,
        timeline=list(timeline),
    )


def wait(
    tx: Connection, operation: Operation, reason: str, pause: float, timeline: Sequence[Json], claims: int = 0
) -> None:
    """Let the operation rest for ``pause`` seconds without a thread.

    ``claims``: how often it was taken so far without coming to a rest in order, 0 when this is one.
    """
    _held(
        tx,
        operation,
        _O.WAITING,
        wait_reason=reason,
        not_before=now() + int(pause * SECOND),
        timeline=list(timeline),
        claims=claims,
    )


def move_to_lane(tx: Connection, operation: Operation, lane: str) -> None:
    """Let the operation wait for a thread of ``lane``, as if it had not been taken."""
    _held(tx, operation, _O.QUEUED, lane=lane, worker=None, claims=operation.claims - 1)


def leave(tx: Connection, operation: Operation, timeline: Sequence[Json]) -> None:
    """The service stops in order: the next start goes on with what is still running, and holds nothing against it."""
    _held(tx, operation, timeline=list(timeline), claims=0)


def succeed(tx: Connection, operation: Operation, timeline: Sequence[Json], heeds_cancel: bool = False) -> None:
    """End the operation as asked. ``heeds_cancel``: raise ``CancelRequested`` when it is to be cancelled."""
    ending = {"error": None, "live_key": None, "timeline": list(timeline)} | _ending()
    _held(tx, operation, _O.SUCCEEDED, heeds_cancel, **ending)


def fail(tx: Connection, operation: Operation, error: Json, timeline: Sequence[Json]) -> None:
    """End the operation with its reason."""
    _held(tx, operation, _O.FAILED, error=error, live_key=None, timeline=list(timeline), **_ending())


def _ending() -> dict[str, Any]:
    return {"ended_at": now(), "updated_at": now(), "wait_reason": None}


def _held(
    tx: Connection,
    operation: Operation,
    to: OperationState | None = None,
    heeds_cancel: bool = False,
    **values: Any,
) -> None:
    """Change the row while it is its worker's, and only along the table of states."""
    sources = [state for state in _TAKEN if to is None or to in OPERATION_MOVES[state]]
    moved = {} if to is None else {"state": to.value}
    token = str(uuid.uuid4())
    changed = tx.execute(
        update(operations)
        .where(
            operations.c.id == operation.id,
            operations.c.epoch == operation.epoch,
            operations.c.state.in_(sources),
            *([operations.c.cancel_requested.is_(False)] if heeds_cancel else []),
        )
        .values({"updated_at": now(), "claim_token": token} | moved | values)
    )
    if changed.rowcount:
        _prove_by_token(tx, operation.id, token)
        return
    if heeds_cancel and is_cancel_requested(tx, operation.id):
        raise CancelRequested(operation_id=operation.id)
    raise LostHold(operation_id=operation.id, epoch=operation.epoch)


def states_of(tx: Connection, operation_ids: Iterable[str]) -> dict[str, tuple[str, Json | None]]:
    """State and error of each of the operations, for those who wait for their end."""
    wanted = select(operations.c.id, operations.c.state, operations.c.error)
    rows = tx.execute(wanted.where(operations.c.id.in_(list(operation_ids))))
    return {row[0]: (row[1], row[2]) for row in rows}


def page(tx: Connection, listing: Listing) -> list[Operation]:
    """One page of operations."""
    return [Operation(*row) for row in pages.page(tx, select(operations), operations, listing, "operation")]


def of_volume(tx: Connection, volume_id: str, limit: int) -> list[Operation]:
    """The latest operations about the volume, its snapshots and attachments, oldest first."""
    wanted = select(operations).where(operations.c.volume_id == volume_id)
    rows = tx.execute(wanted.order_by(operations.c.created_at.desc()).limit(limit)).all()
    return [Operation(*row) for row in reversed(rows)]


def prune(tx: Connection, retention: float, limit: int = 200) -> int:
    """Delete up to ``limit`` operations that ended more than ``retention`` seconds ago; how many were deleted."""
    old = [
        row[0]
        for row in tx.execute(
            select(operations.c.id).where(operations.c.ended_at < now_once() - int(retention * SECOND)).limit(limit)
        )
    ]
    if old:
        tx.execute(delete(operations).where(operations.c.id.in_(old)))
    return len(old)


_INSERT = insert(operations).values(
    epoch=0,
    attempt=0,
    claims=0,
    cancel_requested=False,
    tried=[],
    timeline=[],
    not_before=0,
    created_at=now(),
    updated_at=now(),
)

_BY_ID = select(operations).where(operations.c.id == bindparam("wanted"))

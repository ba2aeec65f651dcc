"""What asks for a live operation to be cancelled: its row says so, and whoever has it undoes it.

A create that no backend has yet is ended here, at once: there is nothing to undo.
"""

from contextlib import suppress

from sqlalchemy import Connection

from volumed.db import operations, volumes
from volumed.model.context import RequestContext
from volumed.model.errors import Cancelled, InvalidStatus, NotCancellable, NotFound
from volumed.model.records import Json, Operation
from volumed.model.requests import CANCELLATIONS, Cancellation
from volumed.model.states import ENDED, VolumeStatus
from volumed.operations import notifications

_BEGUN = "any more: it has begun"


def cancel(tx: Connection, caller: RequestContext, operation_id: str) -> Operation:
    """Ask for the operation's cancellation; the operation as it was. Asked again, nothing changes.

    Raises ``InvalidStatus`` for one that has ended, ``NotCancellable`` where there is no way back.
    """
    known = operations.get(tx, operation_id)
    if known.resource_type == "volume":
        with suppress(NotFound):  # it went, maybe at this moment: the operation says that it has ended
            volumes.touch(tx, known.resource_id)  # the scheduler and the end of the operation take it, too
    found = operations.get(tx, operation_id)
    unbegun = found if _judge(found) is Cancellation.UNTIL_BEGUN else None
    if found.kind == "volume.create" and found.queue == operations.SCHEDULER_QUEUE:
        _end_unplaced(tx, caller, found)
    elif not operations.request_cancel(tx, found.id, _error(caller), unbegun):
        raise NotCancellable(operation_id=found.id, kind=found.kind, until=_BEGUN)
    return found


def request(tx: Connection, caller: RequestContext, live: Operation) -> bool:
    """Ask for the cancellation of the live operation, whose resource is taken, if it still can be.

    True when it has ended thereby.
    """
    if live.kind == "volume.create" and live.queue == operations.SCHEDULER_QUEUE:
        _end_unplaced(tx, caller, live)
        return True
    operations.request_cancel(tx, live.id, _error(caller))
    return False


def _error(caller: RequestContext) -> Json:
    return Cancelled(user_id=caller.user_id, request_id=caller.request_id).as_record()


def _judge(found: Operation) -> Cancellation:
    if found.state in ENDED:
        raise InvalidStatus(
            resource_type="operation", resource_id=found.id, allowed="queued, running or waiting", status=found.state
        )
    until = CANCELLATIONS.get(found.kind, Cancellation.NEVER)
    has_begun = found.claims > 0 or bool(found.timeline)
    if until is Cancellation.NEVER:
        raise NotCancellable(operation_id=found.id, kind=found.kind, until="at any time: it has no way back")
    if until is Cancellation.UNTIL_BEGUN and has_begun:
        raise NotCancellable(operation_id=found.id, kind=found.kind, until=_BEGUN)
    return until


def _end_unplaced(tx: Connection, caller: RequestContext, live: Operation) -> None:
    error = _error(caller)
    volume = volumes.get(tx, live.resource_id)
    volumes.move(tx, volume.id, VolumeStatus.CREATING, VolumeStatus.ERROR, error=error)
    operations.request_cancel(tx, live.id, error)
    operations.refuse(tx, live.id, live.attempt, error, live.placement)
    notifications.of_volume(tx, live, volume, "create.error", VolumeStatus.ERROR, error=error)

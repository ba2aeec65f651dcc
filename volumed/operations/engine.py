"""Claims operations, lets them run, and sees to what no run foresaw: faults, a lost database, calls that never return.

Crash safety lives here and in ``run``: the row tells what is under way, and whoever takes it over goes on with it.
"""

import contextlib
import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from sqlalchemy.exc import DBAPIError

from volumed.db import operations
from volumed.db.engine import Database
from volumed.db.operations import LONGEST_PAUSE
from volumed.model import tracing
from volumed.model.crash_points import crash_point
from volumed.model.errors import LostHold, ServiceUnavailable, VolumedError
from volumed.model.records import Json, Operation
from volumed.model.subject import about
from volumed.operations.blocked import Call
from volumed.operations.locks import NodeLocks
from volumed.operations.procedure import Procedure
from volumed.operations.resting import Resting
from volumed.operations.rules import Rules
from volumed.operations.run import MOST_CLAIMS, Means, Run, Stopping
from volumed.operations.timeline import describe

LOG = logging.getLogger(__name__)


class UnknownKind(VolumedError):
    """A newer release made it; it waits for one."""

    message = "this release does not know operations of the kind {kind}"


class Engine:
    """Runs the operations of one ``queue`` as ``worker`` (this process's incarnation).

    ``wake_after(id, lane, seconds)`` looks at an operation again after a pause; ``place_again(operation)`` tells the
    scheduler that one came back to it. Both are wake-up calls: the sweep makes up for a lost one.
    ``lane_of(operation)`` is where it belongs, which whoever asked for it could not know.
    """

    def __init__(
        self,
        database: Database,
        locks: NodeLocks,
        queue: str,
        worker: str,
        procedures: Sequence[Procedure],
        rules: Rules,
        wake_after: Callable[[str, str, float], None],
        place_again: Callable[[Operation], None],
        lane_of: Callable[[Operation], str] = lambda operation: operation.lane,
    ) -> None:
        self._database = database
        self._queue = queue
        self._worker = worker
        self._procedures = {procedure.kind: procedure for procedure in procedures}
        self._rules = rules
        self._lane_of = lane_of
        self._resting = Resting(wake_after)
        self._means = Means(database, locks, rules, self._resting.wake_after, place_again)
        #: Operations that could not be ended because the database was away: still ours, and nobody runs them.
        self._dropped: set[str] = set()
        #: What is claimed and running now, for who looks from outside.
        self._running: dict[str, Operation] = {}

    def stop(self) -> None:
        """Stop long work at its next note of progress; it is resumed by the next start."""
        self._means.stopping.set()

    def dropped(self) -> list[str]:
        """Operations to be woken again because an earlier run could not write their end."""
        return list(self._dropped)

    def cancel(self, operation_id: str) -> None:
        """Have the operation undone at its next sign of life, if it runs here; the request is in its row."""
        if operation_id in self._running:
            self._means.cancelled.add(operation_id)

    def procedure_of(self, operation: Operation) -> Procedure:
        """How the operation is done. Raises ``UnknownKind`` for one that a newer release made."""
        if operation.kind not in self._procedures:
            raise UnknownKind(kind=operation.kind)
        return self._procedures[operation.kind]

    def run(self, operation_id: str) -> None:
        """Claim the operation, if there is something to claim, and bring it as far as it goes now."""
        token = str(uuid.uuid4())
        dropped, rested = operation_id in self._dropped, self._resting.is_over(operation_id)
        try:
            claimed = self._database.write(
                operations.claim, operation_id, self._queue, self._worker, token, dropped, rested
            )
        except (ServiceUnavailable, DBAPIError):
            # It may be ours without our knowing; a row that another thread works on is not.
            if operation_id not in self._running:
                self._dropped.add(operation_id)
            raise
        self._dropped.discard(operation_id)
        if claimed is not None or rested:
            self._resting.forget(operation_id)
        if claimed is None:
            return
        crash_point("operation.claimed")
        self._running[operation_id] = claimed
        try:
            with about(claimed.request_id, claimed.id), _span(claimed):
                self._run(claimed)
        finally:
            self._running.pop(operation_id, None)
            self._means.cancelled.discard(operation_id)

    def abandon(self, operation_id: str, error: Json) -> bool:
        """End the operation ``failed`` without its backend; False when it has ended, or waits for another one."""
        token = str(uuid.uuid4())
        claimed = self._database.write(operations.claim, operation_id, self._queue, self._worker, token, False, True)
        if claimed is None:
            return False
        if claimed.kind in self._procedures:
            with about(claimed.request_id, claimed.id):
                Run(self._means, self._procedures[claimed.kind], claimed).abandon(error)
        else:
            self._database.write(operations.fail, claimed, error, claimed.timeline)
        return True

    def _run(self, claimed: Operation) -> None:
        try:
            if (lane := self._lane_of(claimed)) == claimed.lane:
                Run(self._means, self.procedure_of(claimed), claimed).go()
            else:
                self._database.write(operations.move_to_lane, claimed, lane)
                self._means.pause(replace(claimed, lane=lane), 0.0)
        except LostHold as error:
            LOG.warning("%s; whoever has it goes on with it", error)
        except Stopping:
            LOG.info("operation %s (%s) is left for the next start", claimed.id, claimed.kind)
        except (ServiceUnavailable, DBAPIError) as error:
            self._drop(claimed, error)
        except Exception as error:
            LOG.exception("operation %s (%s) cannot go on", claimed.id, claimed.kind)
            try:
                self._rest(claimed, error)
            except (ServiceUnavailable, DBAPIError) as absence:
                self._drop(claimed, absence)

    def _drop(self, claimed: Operation, error: Exception) -> None:
        """Nothing could be written of it: it is ours still, and is claimed again when the database is back."""
        self._dropped.add(claimed.id)
        LOG.warning("operation %s (%s) waits for the database: %s", claimed.id, claimed.kind, error)
        self._means.pause(claimed, self._rules.retry_pause)

    def _rest(self, operation: Operation, error: Exception) -> None:
        """What no step foresaw: say so, pause longer each time; after ``MOST_CLAIMS`` the run gives it up.

        One that cannot even be looked at (its kind is not known here) ends without its resource, as the doctor says.
        """
        record = describe(error)
        if operation.claims > MOST_CLAIMS:
            self._database.write(operations.fail, operation, record, operation.timeline)
            return
        pause = min(LONGEST_PAUSE, self._rules.retry_pause * 2**operation.claims)
        for write in (operations.wait, operations.pause_undo):  # it may have begun its undo since it was claimed
            with contextlib.suppress(LostHold):
                self._database.write(
                    write, operation, record["message"], pause, operation.timeline, claims=operation.claims
                )
                self._means.pause(operation, pause)
                return

    # --- calls that do not return -----------------------------------------------------------------------------------

    def tell_blocked(self) -> list[str]:
        """Write to the row of each operation whose call has not returned what it is blocked by; their ids."""
        blocked = self._means.watch.blocked(self._rules.blocked_after)
        for call in blocked:
            self._tell(call)
        return [call.operation_id for call in blocked]

    def stuck(self) -> str | None:
        """What has not returned within ``stuck_timeout``, in a sentence; None: nothing."""
        if not self._rules.stuck_timeout:
            return None
        found = self._means.watch.stuck(self._rules.stuck_timeout)
        return "; ".join(f"operation {call.operation_id} is stuck in {call.what}" for call in found) or None

    def _tell(self, call: Call) -> None:
        operation = self._running.get(call.operation_id)
        if operation is None:
            return
        reason = f"blocked by {call.what}: it has not returned for {self._means.watch.silence(call):.0f} s"
        with about(operation.request_id, operation.id):
            LOG.error("operation %s (%s) on volume %s is %s", operation.id, operation.kind, operation.volume_id, reason)
        with contextlib.suppress(LostHold):  # it has just ended
            self._database.write(operations.note_blocked, operation, reason)


def _span(claimed: Operation) -> AbstractContextManager[tracing.Note]:
    ids = {"operation_id": claimed.id, "volume_id": claimed.volume_id, "queue": claimed.queue}
    return tracing.span(claimed.kind, claimed.args, **ids, attempt=claimed.attempt, claims=claimed.claims)

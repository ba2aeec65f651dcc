"""Carries an operation from its claim to its end, through every step, retry and undo.

Crash safety lives here: the row tells what is under way, steps are idempotent, and a process that takes over an
operation runs all its steps (or all its undos) again. Knows nothing of what a step does.
"""

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from volumed.db import operations, pools
from volumed.db.engine import Database
from volumed.model.crash_points import crash_point
from volumed.model.errors import BackendError, LostHold, NotFound, ServiceUnavailable, VolumedError
from volumed.model.records import Json, Operation
from volumed.model.states import OperationState
from volumed.operations.locks import NodeLocks, ResourceLocked
from volumed.operations.procedure import PoolChange, Procedure, Step, Work
from volumed.operations.timeline import Timeline, describe, present

LOG = logging.getLogger(__name__)

#: Seconds between two retries at most.
LONGEST_PAUSE = 300.0

#: Claims after which an operation that always ends in the unforeseen is given up.
MOST_CLAIMS = 10

#: Seconds between two looks at a lock that another holder has.
LOCKED_PAUSE = 0.5


#: Seconds that a wake-up comes after its pause, so that the database's clock agrees that it is over.
CLOCK_GRAIN = 0.005


class UnknownKind(VolumedError):
    """A newer release made it; it waits for one."""

    message = "this release does not know operations of the kind {kind}"


class Stopping(Exception):
    """The service stops; the operation stays as it is and the next start goes on with it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How stubborn the engine is. Times in seconds; see the options of the same names.

    ``endless`` are kinds that are tried forward for as long as it takes: nobody would take them up after us.
    """

    forward_retries: int
    retry_pause: float
    undo_timeout: float
    lock_patience: float
    progress_interval: float
    endless: frozenset[str] = frozenset()


class Engine:
    """Runs the operations of one ``queue`` as ``worker`` (this process's incarnation).

    ``wake_after(id, lane, seconds)`` looks at an operation again after a pause; ``place_again(operation)`` tells the
    scheduler that one came back to it. Both are wake-up calls: the sweep makes up for a lost one.
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
    ) -> None:
        self._database = database
        self._locks = locks
        self._queue = queue
        self._worker = worker
        self._procedures = {procedure.kind: procedure for procedure in procedures}
        self._rules = rules
        self._wake_after = wake_after
        self._place_again = place_again
        self._stopping = threading.Event()
        #: Operations that could not be ended because the database was away: still ours, and nobody runs them.
        self._dropped: set[str] = set()

    def stop(self) -> None:
        """Stop long work at its next note of progress; it is resumed by the next start."""
        self._stopping.set()

    def dropped(self) -> list[str]:
        """Operations to be woken again because an earlier run could not write their end."""
        return list(self._dropped)

    def procedure_of(self, operation: Operation) -> Procedure:
        """How the operation is done. Raises ``UnknownKind`` for one that a newer release made."""
        if operation.kind not in self._procedures:
            raise UnknownKind(kind=operation.kind)
        return self._procedures[operation.kind]

    def run(self, operation_id: str) -> None:
        """Claim the operation, if there is something to claim, and bring it as far as it goes now."""
        token = str(uuid.uuid4())
        dropped = operation_id in self._dropped
        claimed = self._database.write(operations.claim, operation_id, self._queue, self._worker, token, dropped)
        self._dropped.discard(operation_id)
        if claimed is None:
            return
        crash_point("operation.claimed")
        try:
            _Run(self, claimed).go()
        except LostHold as error:
            LOG.warning("%s; whoever has it goes on with it", error)
        except Stopping:
            LOG.info("operation %s (%s) is left for the next start", claimed.id, claimed.kind)
        except (ServiceUnavailable, DBAPIError) as error:
            self._dropped.add(claimed.id)
            LOG.warning("operation %s (%s) waits for the database: %s", claimed.id, claimed.kind, error)
            self._wake_after(claimed.id, claimed.lane, self._rules.retry_pause)
        except Exception as error:
            LOG.exception("operation %s (%s) cannot go on", claimed.id, claimed.kind)
            self._rest(claimed, error)

    def _rest(self, operation: Operation, error: Exception) -> None:
        """What no step foresaw: say so, pause longer each time, and give up after ``MOST_CLAIMS``."""
        record = describe(error)
        if operation.claims >= MOST_CLAIMS:
            self._database.write(operations.fail, operation, record, operation.timeline)
            return
        pause = min(LONGEST_PAUSE, self._rules.retry_pause * 2**operation.claims)
        for write in (operations.wait, operations.pause_undo):  # it may have begun its undo since it was claimed
            with contextlib.suppress(LostHold):
                self._database.write(write, operation, record["message"], pause, operation.timeline)
                self._wake_after(operation.id, operation.lane, pause + CLOCK_GRAIN)
                return


class _Run:
    """One claim of one operation."""

    def __init__(self, engine: Engine, operation: Operation) -> None:
        self._engine = engine
        self._database = engine._database
        self._rules = engine._rules
        self._operation = operation
        self._procedure = engine.procedure_of(operation)
        self._timeline = Timeline(operation.timeline, operation.attempt)
        self._next_note = time.monotonic() + self._rules.progress_interval

    def go(self) -> None:
        try:
            work = self._procedure.prepare(self._operation)
        except NotFound as error:
            LOG.error("operation %s (%s) has lost its resource: %s", self._operation.id, self._operation.kind, error)
            self._database.write(self._write_failure, None, describe(error))
            return
        work.progress = self._note_progress
        try:
            with self._engine._locks.holding(self._procedure.locks(work), self._rules.lock_patience):
                self._run(work)
        except ResourceLocked as error:
            undoing = self._operation.state == OperationState.UNDOING
            self._pause(str(error), LOCKED_PAUSE, operations.pause_undo if undoing else operations.wait)

    def _run(self, work: Work) -> None:
        if self._operation.state == OperationState.UNDOING:
            self._undo(work, self._procedure.steps, self._operation.error or {})
            return
        for position, step in enumerate(self._procedure.steps):
            try:
                self._do(step, work)
            except (Stopping, LostHold, ServiceUnavailable, DBAPIError, ResourceLocked):
                raise
            except Exception as error:
                self._failed(work, position, error)
                return
        state = self._database.write(self._write_success, work)
        crash_point(f"{self._operation.kind}.succeeded")
        self._log_end(state)
        self._procedure.ended(work, state)

    def _do(self, step: Step[Any], work: Work) -> None:
        crash_point(f"{self._operation.kind}.{step.name}.before")
        with self._timeline.step(step.name):
            step.do(work)
        crash_point(f"{self._operation.kind}.{step.name}.after")

    def _write_success(self, tx: Connection, work: Work) -> str:
        change = self._procedure.succeed(tx, work)
        operations.succeed(tx, self._operation, self._timeline.entries)
        _adjust(tx, change)
        return OperationState.SUCCEEDED

    # --- failure ----------------------------------------------------------------------------------------------------

    def _failed(self, work: Work, position: int, error: Exception) -> None:
        step = self._procedure.steps[position]
        expected = isinstance(error, BackendError)
        LOG.log(
            logging.WARNING if expected else logging.ERROR,
            "step %s of operation %s (%s) failed: %s",
            step.name,
            self._operation.id,
            self._operation.kind,
            error,
            exc_info=None if expected else error,
        )
        if self._is_past_return(position):
            self._retry_forward(work, error)
            return
        record = describe(error) | {"retry_elsewhere": getattr(error, "retry_elsewhere", True)}
        self._database.write(operations.begin_undo, self._operation, record, self._timeline.entries)
        crash_point(f"{self._operation.kind}.undo.begun")
        self._undo(work, self._procedure.steps[: position + 1], record)

    def _is_past_return(self, position: int) -> bool:
        names = [step.name for step in self._procedure.steps]
        return self._procedure.no_return is not None and position >= names.index(self._procedure.no_return)

    def _retry_forward(self, work: Work, error: Exception) -> None:
        failures = self._timeline.failures()
        if failures > self._rules.forward_retries and self._operation.kind not in self._rules.endless:
            self._end_failed(work, describe(error))
            return
        self._pause(str(error), min(LONGEST_PAUSE, self._rules.retry_pause * 2 ** min(failures - 1, 32)))

    def _pause(self, reason: str, pause: float, write: Callable[..., None] = operations.wait) -> None:
        self._database.write(write, self._operation, reason, pause, self._timeline.entries)
        self._engine._wake_after(self._operation.id, self._operation.lane, pause + CLOCK_GRAIN)

    # --- undo -------------------------------------------------------------------------------------------------------

    def _undo(self, work: Work, steps: Sequence[Step[Any]], error: Json) -> None:
        for step in reversed(steps):
            try:
                crash_point(f"{self._operation.kind}.{step.name}.undo.before")
                with self._timeline.step(step.name, direction="undo"):
                    step.undo(work)
                crash_point(f"{self._operation.kind}.{step.name}.undo.after")
            except (Stopping, LostHold, ServiceUnavailable, DBAPIError):
                raise
            except Exception as trouble:
                LOG.warning("undo of %s of operation %s failed: %s", step.name, self._operation.id, trouble)
                if not self._undo_is_overdue():
                    self._pause(f"undo of {step.name}: {trouble}", self._rules.retry_pause, operations.pause_undo)
                    return
                elsewhere = self._procedure.elsewhere
                self._end_undone(work, error, elsewhere.cleanup(work) if elsewhere else None)
                return
        self._end_undone(work, error, None)

    def _undo_is_overdue(self) -> bool:
        since = self._timeline.undoing_since()
        return since is not None and present() - since >= self._rules.undo_timeout * 1_000_000

    def _end_undone(self, work: Work, error: Json, cleanup: operations.NewOperation | None) -> None:
        """Back to the scheduler, which counts the attempts; where another backend is of no use, the end."""
        may_move = self._procedure.elsewhere is not None and error.get("retry_elsewhere", True)
        error = {key: value for key, value in error.items() if key != "retry_elsewhere"}
        if may_move and self._database.write(self._write_retreat, work, error, cleanup):
            LOG.info("operation %s (%s) goes back to the scheduler", self._operation.id, self._operation.kind)
            crash_point(f"{self._operation.kind}.requeued")
            self._procedure.ended(work, OperationState.QUEUED)
            self._engine._place_again(self._operation)
        else:
            self._end_failed(work, error, cleanup)
        if cleanup is not None:
            self._engine._wake_after(cleanup.id, cleanup.lane, self._rules.retry_pause)

    def _write_retreat(self, tx: Connection, work: Work, error: Json, cleanup: operations.NewOperation | None) -> bool:
        elsewhere = self._procedure.elsewhere
        retreat = elsewhere.retreat(tx, work, error) if elsewhere else None
        if retreat is None:
            return False
        tried, change = retreat
        if cleanup is not None:
            operations.add(tx, cleanup)
        operations.requeue(
            tx,
            self._operation,
            operations.SCHEDULER_QUEUE,
            [*self._operation.tried, tried.as_record()],
            error,
            self._timeline.entries,
        )
        _adjust(tx, change)
        return True

    def _end_failed(self, work: Work, error: Json, cleanup: operations.NewOperation | None = None) -> None:
        self._log_end(self._database.write(self._write_failure, work, error, cleanup))
        crash_point(f"{self._operation.kind}.failed")
        self._procedure.ended(work, OperationState.FAILED)

    def _write_failure(
        self, tx: Connection, work: Work | None, error: Json, cleanup: operations.NewOperation | None = None
    ) -> str:
        change = None if work is None else self._procedure.fail(tx, work, error)
        if cleanup is not None:
            operations.add(tx, cleanup)
        operations.fail(tx, self._operation, error, self._timeline.entries)
        _adjust(tx, change)
        return OperationState.FAILED

    # --- progress ---------------------------------------------------------------------------------------------------

    def _note_progress(self, done: int, total: int) -> None:
        """Called by long work: notes how far it is, and stops it when it is no longer ours or the service stops."""
        if self._engine._stopping.is_set():
            raise Stopping
        self._timeline.entries[-1] |= {"done_bytes": done, "total_bytes": total}
        if time.monotonic() >= self._next_note:
            self._next_note = time.monotonic() + self._rules.progress_interval
            self._database.write(operations.note, self._operation, self._timeline.entries)

    def _log_end(self, state: str) -> None:
        LOG.info(
            "operation %s (%s) on %s %s: %s [%s]",
            self._operation.id,
            self._operation.kind,
            self._operation.resource_type,
            self._operation.resource_id,
            state,
            self._operation.request_id,
        )


def _adjust(tx: Connection, change: PoolChange | None) -> None:
    if change is not None:
        pools.adjust(tx, change.storage_id, change.size, change.volumes)

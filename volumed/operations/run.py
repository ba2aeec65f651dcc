"""One claim of one operation: its steps to the end, or their undo, or a pause.

Steps are idempotent, so a process that takes over an operation runs all its steps (or all its undos) again. Knows
nothing of what a step does, and nothing of who claims.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from volumed.db import operations, pools
from volumed.db.engine import Database
from volumed.db.operations import LONGEST_PAUSE
from volumed.model import tracing
from volumed.model.crash_points import crash_point
from volumed.model.errors import (
    BackendBusy,
    BackendError,
    BackendInvalid,
    BackendNotFound,
    Cancelled,
    CancelRequested,
    LostHold,
    NotFound,
    Poisonous,
    ServiceUnavailable,
)
from volumed.model.records import Json, Operation
from volumed.model.states import OperationState
from volumed.operations import successors
from volumed.operations.blocked import CallWatch
from volumed.operations.locks import NodeLocks, ResourceLocked
from volumed.operations.procedure import PoolChange, Procedure, Step, Work
from volumed.operations.rules import Rules
from volumed.operations.timeline import Timeline, describe, present

LOG = logging.getLogger(__name__)

#: Claims that came to no rest in order, after which an operation that can be undone is undone.
CLAIMS_BEFORE_UNDO = 5

#: The same, after which any operation is given up: it has failed, and the doctor tells of it.
MOST_CLAIMS = 10

#: Seconds between two looks at a lock that another holder has.
LOCKED_PAUSE = 0.5


class Stopping(Exception):
    """The service stops; the operation stays as it is and the next start goes on with it."""


@dataclass(frozen=True)
class Means:
    """What every run of an engine works with; see ``Engine``."""

    database: Database
    locks: NodeLocks
    rules: Rules
    wake_after: Callable[[str, str, float], None]
    place_again: Callable[[Operation], None]
    watch: CallWatch = field(default_factory=CallWatch)
    stopping: threading.Event = field(default_factory=threading.Event)
    #: Operations that are to be cancelled, as somebody told this process; the row is the truth.
    cancelled: set[str] = field(default_factory=set)

    def pause(self, operation: Operation, seconds: float) -> None:
        """Look at the operation again after a pause, by this process's own timer."""
        self.wake_after(operation.id, operation.lane, seconds)


#: Raised through every step: not the step's failure.
_NO_FAILURE = (Stopping, LostHold, ServiceUnavailable, DBAPIError, ResourceLocked)


class Run:
    """``operation`` as it was claimed."""

    def __init__(self, means: Means, procedure: Procedure, operation: Operation) -> None:
        self._means = means
        self._database = means.database
        self._rules = means.rules
        self._operation = operation
        self._procedure = procedure
        self._timeline = Timeline(operation.timeline, operation.attempt)
        self._next_note = time.monotonic() + self._rules.progress_interval

    def go(self) -> None:
        """Bring the operation as far as it goes now. Raises ``LostHold``, ``Stopping``, and what nobody foresaw."""
        try:
            work = self._procedure.prepare(self._operation)
        except NotFound as error:
            LOG.error("operation %s (%s) has lost its resource: %s", self._operation.id, self._operation.kind, error)
            self._database.write(self._write_failure, None, describe(error))
            return
        work.progress = self._note_progress
        if self._is_undoing() and not self._undoable():
            self._end_undone(work, self._operation.error or {}, None)  # nothing to take back, so it needs no lock
            return
        if self._operation.cancel_requested and self._is_unbegun():
            self._cancel(work)
            return
        try:
            with self._means.locks.holding(self._procedure.locks(work), self._rules.lock_patience):
                self._run(work)
        except ResourceLocked as error:
            self._pause(str(error), LOCKED_PAUSE, self._is_undoing())
        except Stopping:
            self._database.write(operations.leave, self._operation, self._timeline.entries)
            raise

    def _is_undoing(self) -> bool:
        return self._operation.state == OperationState.UNDOING

    def _run(self, work: Work) -> None:
        if self._operation.claims > MOST_CLAIMS:
            self._give_up(work)
        elif self._is_undoing():
            self._undo(work, self._undoable(), self._operation.error or {})
        elif self._operation.cancel_requested and self._procedure.no_return is None:
            self._cancel(work)
        elif self._operation.claims > CLAIMS_BEFORE_UNDO and self._procedure.no_return is None:
            self._begin_undo(work, self._procedure.steps, self._poisonous())
        else:
            self._run_steps(work)

    def _run_steps(self, work: Work) -> None:
        for position, step in enumerate(self._procedure.steps):
            try:
                self._do(step, work)
            except _NO_FAILURE:
                raise
            except CancelRequested:
                self._cancel(work)
                return
            except Exception as error:
                self._failed(work, position, error)
                return
        try:
            successor = self._database.write(self._write_success, work, True)
        except CancelRequested:
            if self._procedure.no_return is None:
                self._cancel(work)
                return
            successor = self._database.write(self._write_success, work, False)
        crash_point(f"{self._operation.kind}.succeeded")
        self._ended(work, OperationState.SUCCEEDED, successor)

    def _do(self, step: Step[Any], work: Work) -> None:
        self._refuse_if_cancelled()
        crash_point(f"{self._operation.kind}.{step.name}.before")
        self._means.watch.enter(self._operation.id, f"step {step.name}")
        try:
            with tracing.span(f"step {step.name}"), self._timeline.step(step.name):
                step.do(work)
        finally:
            self._means.watch.leave(self._operation.id)
        crash_point(f"{self._operation.kind}.{step.name}.after")

    def _write_success(self, tx: Connection, work: Work, heeds_cancel: bool) -> Operation | None:
        change = self._procedure.succeed(tx, work)
        operations.succeed(tx, self._operation, self._timeline.entries, heeds_cancel)
        # Who has a successor was asked to be cancelled, and where that is heeded nobody succeeds who was.
        successor = None if heeds_cancel else successors.begin(tx, self._operation)
        _adjust(tx, change)
        return successor

    # --- cancelled, or poisonous ------------------------------------------------------------------------------------

    def _is_unbegun(self) -> bool:
        """Whether no step was ever begun: every earlier claim came to a rest in order, and none noted a step."""
        noted = any(entry["attempt"] == self._operation.attempt for entry in self._timeline.entries)
        return self._operation.claims == 1 and not noted and not self._is_undoing()

    def _refuse_if_cancelled(self) -> None:
        if self._operation.id in self._means.cancelled and self._procedure.no_return is None:
            raise CancelRequested(operation_id=self._operation.id)

    def _cancel(self, work: Work) -> None:
        """Take back what was done: everything may have been, unless nothing was ever begun."""
        self._begin_undo(work, () if self._is_unbegun() else self._procedure.steps, self._cancellation())

    def _cancellation(self) -> Json:
        """Who asked for it, from the row: it was asked after the claim."""
        with self._database.reading() as tx:
            found = operations.get(tx, self._operation.id)
        LOG.info("operation %s (%s) is cancelled", self._operation.id, self._operation.kind)
        return found.error or Cancelled(user_id="unknown", request_id="unknown").as_record()

    def _poisonous(self) -> Json:
        error = Poisonous(kind=self._operation.kind, claims=self._operation.claims - 1)
        LOG.error("operation %s on volume %s: %s", self._operation.id, self._operation.volume_id, error)
        return error.as_record()

    def _give_up(self, work: Work) -> None:
        elsewhere = self._procedure.elsewhere
        self._end_failed(work, self._poisonous(), elsewhere.cleanup(work) if elsewhere else None)

    def abandon(self, error: Json) -> None:
        """End it without its backend, which is lost: nothing is undone there, and nothing of it is waited for."""
        try:
            work = self._procedure.prepare(self._operation)
        except NotFound:
            work = None
        self._database.write(self._write_failure, work, error)
        LOG.warning("operation %s (%s) is abandoned: %s", self._operation.id, self._operation.kind, error["message"])

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
        if isinstance(error, BackendBusy) and not self._is_busy_for_too_long():
            self._pause(str(error), self._growing_pause())
            return
        if self._is_past_return(position) or self._is_endless(error):
            self._retry_forward(work, error)
            return
        record = describe(error) | {"retry_elsewhere": getattr(error, "retry_elsewhere", True)}
        self._begin_undo(work, self._procedure.steps[: position + 1], record)

    def _is_busy_for_too_long(self) -> bool:
        since = self._timeline.failing_since()
        return since is None or present() - since >= self._rules.busy_timeout * 1_000_000

    def _growing_pause(self) -> float:
        return min(LONGEST_PAUSE, self._rules.retry_pause * 2.0 ** min(self._timeline.failures() - 1, 32))

    def _is_endless(self, error: Exception) -> bool:
        """Whether it is tried on and on although it could be undone; what can never work is not."""
        return self._operation.kind in self._rules.endless and not isinstance(error, BackendNotFound | BackendInvalid)

    def _is_past_return(self, position: int) -> bool:
        return position >= len(self._undoable())

    def _undoable(self) -> Sequence[Step[Any]]:
        """The steps before the point of no return: an undo begins only while that has not been reached."""
        steps, names = self._procedure.steps, [step.name for step in self._procedure.steps]
        return steps if self._procedure.no_return is None else steps[: names.index(self._procedure.no_return)]

    def _retry_forward(self, work: Work, error: Exception) -> None:
        failures = self._timeline.failures()
        if failures > self._rules.forward_retries and self._operation.kind not in self._rules.endless:
            self._end_failed(work, describe(error))
            return
        self._pause(str(error), self._growing_pause())

    def _pause(self, reason: str, pause: float, undoing: bool = False) -> None:
        write = operations.pause_undo if undoing else operations.wait
        self._database.write(write, self._operation, reason, pause, self._timeline.entries)
        self._means.pause(self._operation, pause)

    # --- undo -------------------------------------------------------------------------------------------------------

    def _begin_undo(self, work: Work, steps: Sequence[Step[Any]], error: Json) -> None:
        """``error`` without ``retry_elsewhere``: no other backend is asked."""
        record = {"retry_elsewhere": False} | error
        self._database.write(operations.begin_undo, self._operation, record, self._timeline.entries)
        crash_point(f"{self._operation.kind}.undo.begun")
        self._undo(work, steps, record)

    def _undo(self, work: Work, steps: Sequence[Step[Any]], error: Json) -> None:
        for step in reversed(steps):
            try:
                self._undo_step(step, work)
            except (Stopping, LostHold, ServiceUnavailable, DBAPIError):
                raise
            except Exception as trouble:
                LOG.warning("undo of %s of operation %s failed: %s", step.name, self._operation.id, trouble)
                if not self._undo_is_overdue():
                    self._pause(f"undo of {step.name}: {trouble}", self._rules.retry_pause, undoing=True)
                    return
                elsewhere = self._procedure.elsewhere
                self._end_undone(work, error, elsewhere.cleanup(work) if elsewhere else None)
                return
        self._end_undone(work, error, None)

    def _undo_step(self, step: Step[Any], work: Work) -> None:
        crash_point(f"{self._operation.kind}.{step.name}.undo.before")
        self._means.watch.enter(self._operation.id, f"the undo of step {step.name}")
        try:
            with tracing.span(f"undo {step.name}"), self._timeline.step(step.name, direction="undo"):
                step.undo(work)
        finally:
            self._means.watch.leave(self._operation.id)
        crash_point(f"{self._operation.kind}.{step.name}.undo.after")

    def _undo_is_overdue(self) -> bool:
        since = self._timeline.undoing_since()
        return since is not None and present() - since >= self._rules.undo_timeout * 1_000_000

    def _end_undone(self, work: Work, error: Json, cleanup: operations.NewOperation | None) -> None:
        """Back to the scheduler, which counts the attempts; where another backend is of no use, the end."""
        may_move = self._procedure.elsewhere is not None and error.get("retry_elsewhere", True)
        error = {key: value for key, value in error.items() if key != "retry_elsewhere"}
        try:
            retreated = may_move and self._database.write(self._write_retreat, work, error, cleanup)
        except CancelRequested:
            retreated, error = False, self._cancellation()
        if retreated:
            LOG.info("operation %s (%s) goes back to the scheduler", self._operation.id, self._operation.kind)
            crash_point(f"{self._operation.kind}.requeued")
            self._procedure.ended(work, OperationState.QUEUED)
            self._means.place_again(self._operation)
        else:
            self._end_failed(work, error, cleanup)
        if cleanup is not None:
            self._means.wake_after(cleanup.id, cleanup.lane, self._rules.retry_pause)

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

    # --- the end ----------------------------------------------------------------------------------------------------

    def _end_failed(self, work: Work, error: Json, cleanup: operations.NewOperation | None = None) -> None:
        successor = self._database.write(self._write_failure, work, error, cleanup)
        crash_point(f"{self._operation.kind}.failed")
        self._ended(work, OperationState.FAILED, successor)

    def _write_failure(
        self, tx: Connection, work: Work | None, error: Json, cleanup: operations.NewOperation | None = None
    ) -> Operation | None:
        change = None if work is None else self._procedure.fail(tx, work, error)
        if cleanup is not None:
            operations.add(tx, cleanup)
        operations.fail(tx, self._operation, error, self._timeline.entries)
        successor = successors.begin(tx, self._operation)
        _adjust(tx, change)
        return successor

    def _ended(self, work: Work, state: OperationState, successor: Operation | None) -> None:
        self._means.cancelled.discard(self._operation.id)
        LOG.info(
            "operation %s (%s) on %s %s: %s [%s]",
            self._operation.id,
            self._operation.kind,
            self._operation.resource_type,
            self._operation.resource_id,
            state,
            self._operation.request_id,
        )
        self._procedure.ended(work, state)
        if successor is not None:
            self._means.wake_after(successor.id, successor.lane, 0.0)

    # --- progress ---------------------------------------------------------------------------------------------------

    def _note_progress(self, done: int, total: int) -> None:
        """Called by long work: notes how far it is, and stops it when it is no longer ours or wanted."""
        if self._means.stopping.is_set():
            raise Stopping
        self._refuse_if_cancelled()
        self._timeline.entries[-1] |= {"done_bytes": done, "total_bytes": total}
        was_blocked = self._means.watch.live(self._operation.id)
        if was_blocked or time.monotonic() >= self._next_note:
            self._next_note = time.monotonic() + self._rules.progress_interval
            self._database.write(self._note)
            self._refuse_if_cancelled()

    def _note(self, tx: Connection) -> None:
        """A message that it is to be cancelled may have been lost: the row tells."""
        operations.note(tx, self._operation, self._timeline.entries)
        if operations.is_cancel_requested(tx, self._operation.id):
            self._means.cancelled.add(self._operation.id)


def _adjust(tx: Connection, change: PoolChange | None) -> None:
    if change is not None:
        pools.adjust(tx, change.storage_id, change.size, change.volumes)

"""Places one create: reads it, decides, and hands it to a backend in one transaction, or lets it wait, or refuses it.

Every write is a compare-and-swap on the operation, so any number of schedulers may work on the same one: one wins and
the others roll back without a trace.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from math import isinf

from sqlalchemy import Connection

from volumed.db import operations, placements, pools, volumes
from volumed.db.clock import SECOND
from volumed.db.engine import Database
from volumed.model import tracing
from volumed.model.context import RequestContext
from volumed.model.crash_points import crash_point
from volumed.model.errors import IllegalMove, NotFound, NoValidBackend
from volumed.model.records import Json, Operation, Volume
from volumed.model.states import VolumeStatus
from volumed.model.subject import about
from volumed.operations import notifications
from volumed.rpc.volume_client import VolumeClient
from volumed.scheduler.fleet import Fleet
from volumed.scheduler.placement import Decision, Filter, Weigher, decide
from volumed.scheduler.pools import Pool
from volumed.scheduler.request import PlacementRequest, error_of, request_of

LOG = logging.getLogger(__name__)

#: How often a decision is made again at once after somebody else has spent the space.
MOST_CONFLICTS = 20

#: Seconds that a create waits for the next look when nothing wakes it before.
PAUSE = 2.0

#: GiB that stand for a pool without a known end; fits a BIGINT.
ENDLESS = float(2**62)


class Outcome(Enum):
    NOTHING = "nothing to place"
    PLACED = "placed"
    POSTPONED = "postponed"
    REFUSED = "refused"


class _Taken(Exception):
    """Another scheduler was first."""


class _Spent(Exception):
    """The space went to another request, or the service was disabled."""


class Placer:
    """``attempts``: on how many backends a create is tried; ``timeout``: seconds it waits for backends to report."""

    def __init__(
        self,
        database: Database,
        fleet: Fleet,
        volume: VolumeClient,
        filters: Sequence[Filter],
        weighers: Sequence[Weigher],
        attempts: int,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._volume = volume
        self._filters = filters
        self._weighers = weighers
        self._attempts = attempts
        self._timeout = timeout
        self._clock = clock
        #: Since when each create was seen to wait here, by our own clock: the database's may be set meanwhile.
        self._waiting: dict[str, float] = {}

    def place(self, operation_id: str) -> Outcome:
        """Bring the create one step on: to a backend, to a pause, or to its end."""
        outcome = self._place(operation_id)
        if outcome is not Outcome.POSTPONED:
            self._waiting.pop(operation_id, None)
        return outcome

    def rescue(self, operation_id: str) -> Outcome:
        """Place a create elsewhere that a service which is down never took; where nobody else can, it waits for it."""
        with self._database.reading() as tx:
            operation = operations.get(tx, operation_id)
            volume = volumes.find(tx, operation.volume_id)
        if volume is None or volume.host is None or operation.args.get("host_given"):
            return Outcome.NOTHING
        candidates, _ = self._fleet.look()
        decision = decide(self._request_of(operation, volume), candidates, self._filters, self._weighers)
        if decision.chosen is None or decision.chosen.backend == operation.queue:
            return Outcome.NOTHING
        record = decision.record() | {"attempt": operation.attempt, "moved_from": operation.queue}
        try:
            crash_point("volume.create.rescue.before")
            self._database.write(_move_over, operation, volume, decision.chosen, record)
        except (_Taken, _Spent, IllegalMove, NotFound):
            return Outcome.NOTHING
        crash_point("volume.create.rescue.after")
        with about(operation.request_id, operation.id):
            LOG.warning(
                "operation %s: volume %s was never taken by %s, which is down; it is placed on %s",
                operation.id,
                volume.id,
                operation.queue,
                decision.chosen.host,
            )
        self._wake(operation, volume, decision.chosen)
        return Outcome.PLACED

    def _request_of(self, operation: Operation, volume: Volume) -> PlacementRequest:
        """Only what is made again may have left something before."""
        if not operation.args.get("again"):
            return request_of(operation, volume)
        with self._database.reading() as tx:
            return request_of(operation, volume, operations.left_behind(tx, volume.id))

    def _wake(self, operation: Operation, volume: Volume, pool: Pool) -> None:
        self._fleet.spent(pool.storage_id, volume.size)
        self._volume.create_volume(
            _context_of(operation), pool.host, volume.id, operation.id, volume.snapshot_id, volume.source_volid
        )

    def _place(self, operation_id: str) -> Outcome:
        with self._database.reading() as tx:
            found = placements.to_place(tx, operation_id)
        if found is None:
            return Outcome.NOTHING
        operation, volume, now = found
        with about(operation.request_id, operation.id), _span("place", operation):
            return self._bring_on(operation, volume, now)

    def _bring_on(self, operation: Operation, volume: Volume | None, now: int) -> Outcome:
        if volume is None:
            return self._end(operation, NotFound(resource_type="volume", resource_id=operation.volume_id).as_record())
        if operation.tried and operation.attempt >= self._attempts:
            return self._refuse(operation, volume, None)
        try:
            return self._decide_and_hand_over(operation, volume, now)
        except (IllegalMove, NotFound) as error:  # not by volumed: the row was changed under the operation
            return self._end(operation, error.as_record())

    def _decide_and_hand_over(self, operation: Operation, volume: Volume, now: int) -> Outcome:
        request = self._request_of(operation, volume)
        for conflicts in range(MOST_CONFLICTS):
            candidates, awaited = self._fleet.look()
            decision = decide(request, candidates, self._filters, self._weighers)
            if decision.chosen is None and conflicts:
                return self._wait_or_refuse(operation, volume, decision, now, awaited)
            try:
                if decision.chosen is not None:
                    return self._hand_over(operation, volume, decision, decision.chosen)
            except _Taken:
                return Outcome.NOTHING
            except _Spent:
                LOG.debug("space for operation %s was spent meanwhile; it is placed again", operation.id)
            # The rows in memory were too old, for the choice or for saying no: never refuse by them.
            self._fleet.expire()
        return self._postpone(operation, decision, now, "other requests take the space first")

    def _hand_over(self, operation: Operation, volume: Volume, decision: Decision, pool: Pool) -> Outcome:
        record = decision.record() | {"attempt": operation.attempt}
        crash_point("volume.create.place.before")
        self._database.write(_hand_over, operation, volume, pool, record)
        crash_point("volume.create.place.after")
        LOG.info("operation %s: volume %s of %s GiB is placed on %s", operation.id, volume.id, volume.size, pool.host)
        self._wake(operation, volume, pool)
        return Outcome.PLACED

    def _wait_or_refuse(
        self, operation: Operation, volume: Volume, decision: Decision, now: int, awaited: Sequence[str]
    ) -> Outcome:
        seen_for = self._clock() - self._waiting.setdefault(operation.id, self._clock())
        waited = min((now - _waiting_since(operation, now)) / SECOND, seen_for)
        if not awaited or waited >= self._timeout:
            return self._refuse(operation, volume, decision, awaited)
        named = ", ".join(awaited[:3]) + (f" and {len(awaited) - 3} more" if len(awaited) > 3 else "")
        return self._postpone(operation, decision, now, f"no backend can take it; waiting for {named} to report")

    def _postpone(self, operation: Operation, decision: Decision, now: int, reason: str) -> Outcome:
        record = decision.record() | {"attempt": operation.attempt, "waiting_since": _waiting_since(operation, now)}
        LOG.info("operation %s waits: %s", operation.id, reason)
        self._database.write(operations.postpone, operation.id, operation.attempt, reason, PAUSE, record)
        return Outcome.POSTPONED

    def _refuse(
        self, operation: Operation, volume: Volume, decision: Decision | None, awaited: Sequence[str] = ()
    ) -> Outcome:
        error = NoValidBackend(reason=_why(operation, decision, len(awaited))).as_record()
        record = operation.placement
        if decision is not None:
            record = decision.record() | {"attempt": operation.attempt, "awaited": list(awaited)}
        try:
            crash_point("volume.create.refuse.before")
            self._database.write(_refuse, operation, volume, error, record)
        except _Taken:
            return Outcome.NOTHING
        crash_point("volume.create.refuse.after")
        LOG.info("operation %s is refused: %s", operation.id, error["message"])
        return Outcome.REFUSED

    def _end(self, operation: Operation, error: Json) -> Outcome:
        """End the operation alone: its volume is gone or has another status than that of a create."""
        if not self._database.write(
            operations.refuse, operation.id, operation.attempt, error, operation.placement
        ):  # another scheduler has placed it, and its backend was quick
            return Outcome.NOTHING
        LOG.warning("operation %s ends: %s", operation.id, error["message"])
        return Outcome.REFUSED


def _hand_over(tx: Connection, operation: Operation, volume: Volume, pool: Pool, record: Json) -> None:
    _settle(tx, volume, pool)
    if not operations.place(tx, operation.id, operation.attempt, pool.backend, record):
        raise _Taken
    _spend(tx, volume, pool)


def _move_over(tx: Connection, operation: Operation, volume: Volume, pool: Pool, record: Json) -> None:
    _settle(tx, volume, pool)
    if not operations.move_over(tx, operation.id, operation.attempt, operation.queue, pool.backend, record):
        raise _Taken
    _spend(tx, volume, pool)
    if volume.storage_id is not None:
        pools.adjust(tx, volume.storage_id, -volume.size, -1)


def _settle(tx: Connection, volume: Volume, pool: Pool) -> None:
    """Let the volume be the pool's. Its row is taken first (one order for all)."""
    creating = VolumeStatus.CREATING
    volumes.move(tx, volume.id, creating, creating, host=pool.host, storage_id=pool.storage_id)


def _spend(tx: Connection, volume: Volume, pool: Pool) -> None:
    ceiling = ENDLESS if isinf(pool.ceiling) else pool.ceiling
    if not pools.allocate(tx, pool.storage_id, volume.size, ceiling, pool.backend):
        raise _Spent


def _refuse(tx: Connection, operation: Operation, volume: Volume, error: Json, record: Json | None) -> None:
    volumes.move(tx, volume.id, VolumeStatus.CREATING, VolumeStatus.ERROR, error=error)
    if not operations.refuse(tx, operation.id, operation.attempt, error, record):
        raise _Taken
    notifications.of_volume(tx, operation, volume, "create.error", VolumeStatus.ERROR, error=error)


def _span(name: str, operation: Operation) -> AbstractContextManager[tracing.Note]:
    return tracing.span(name, operation.args, operation_id=operation.id, attempt=operation.attempt)


def _waiting_since(operation: Operation, now: int) -> int:
    """When this attempt was first found to have no place."""
    record = operation.placement or {}
    return int(record.get("waiting_since", now)) if record.get("attempt") == operation.attempt else now


def _why(operation: Operation, decision: Decision | None, awaited: int) -> str:
    parts = []
    if decision is not None:
        counts = ", ".join(f"{name} refused {count}" for name, count in sorted(decision.counts.items()))
        considered = len(decision.rejected)
        parts.append(f"{considered} pools considered, {counts}" if considered else "no pool is known")
    if awaited:
        parts.append(f"services that did not report in time: {awaited}")
    if operation.tried:
        failures = "; ".join(f"attempt {n}: {error_of(tried)}" for n, tried in enumerate(operation.tried, start=1))
        parts.append(f"{len(operation.tried)} attempts failed: {failures}")
    return "; ".join(parts)


def _context_of(operation: Operation) -> RequestContext:
    return RequestContext(
        user_id=operation.user_id, project_id=operation.project_id, is_admin=False, request_id=operation.request_id
    )

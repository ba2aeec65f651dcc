"""The scheduler's RPC endpoint and life cycle: it takes reports and wake-up calls, and lets its workers place.

Nothing is placed in an RPC thread, and nothing depends on a message: the sweep of the scheduler's queue finds what
no message woke.
"""

import logging
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from volumed.db import operations, placements
from volumed.db.engine import Database
from volumed.model.context import RequestContext
from volumed.model.errors import InvalidField
from volumed.operations.periodic import PeriodicTask
from volumed.operations.sweep import Sweep
from volumed.rpc.dispatcher import Endpoint
from volumed.rpc.volume_client import VolumeClient
from volumed.scheduler import adoption, plugins, reports
from volumed.scheduler.fleet import Fleet
from volumed.scheduler.placer import Outcome, Placer
from volumed.scheduler.pools import News, Pool, ReportedPools
from volumed.scheduler.workers import Workers

LOG = logging.getLogger(__name__)

#: Threads that place. A placement is mostly one transaction, and the database takes one at a time from each row.
WORKERS = 2

#: Seconds between two requests to the backends to report, while a create waits for them.
ASK_INTERVAL = 5.0


@dataclass(frozen=True, slots=True)
class _Adopt:
    """The job to find or make the operation of a volume that came without one, and to place it."""

    volume_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class _Rescue:
    """The job to place a create elsewhere whose backend is down and has never taken it."""

    operation_id: str


class SchedulerManager:
    """One scheduler; any number of them may run. ``scheduler_host`` names it in the log."""

    RPC_VERSION = "1.4"
    RPC_METHODS = ("create_volume", "update_service_capabilities", "get_pools")

    def __init__(self, conf: Any, database: Database, volume: VolumeClient, scheduler_host: str) -> None:
        self._database = database
        self._volume = volume
        self._host = scheduler_host
        self._incarnation = str(uuid.uuid4())
        self._sweep_age: float = conf.operations.sweep_age
        #: How old a queued operation is when the next look takes it for forgotten: at the start, what is there is.
        self._look_age = 0.0
        self._reported = ReportedPools(lifetime=conf.service_down_time)
        self._fleet = Fleet(database, self._reported, down_time=conf.service_down_time)
        self._placer = Placer(
            database,
            self._fleet,
            volume,
            plugins.load_filters(conf),
            plugins.load_weighers(conf),
            attempts=conf.operations.scheduler_max_attempts,
            timeout=conf.operations.placement_timeout,
        )
        self._workers: Workers[str | _Adopt | _Rescue] = Workers(WORKERS, self._work)
        self._sweep = Sweep("scheduler", conf.operations.sweep_interval, self._look)
        self._lock = threading.Lock()
        self._postponed: set[str] = set()
        #: How often the postponed were woken: a placement that a wake fell into has not seen its news.
        self._wakes = 0
        self._asked_at = float("-inf")

    # --- RPC ---

    def create_volume(
        self,
        context: RequestContext,
        volume_id: str,
        request_spec: Any = None,
        filter_properties: Any = None,
        snapshot_id: str | None = None,
        image_id: str | None = None,
        operation_id: str | None = None,
    ) -> None:
        """Wake the placement of the volume's create. What it asks is read from the rows, not from the message."""
        if not _is_id(volume_id):
            raise InvalidField(field="volume_id", reason="it must be an id of 1 to 36 characters")
        if operation_id is not None and not _is_id(operation_id):
            raise InvalidField(field="operation_id", reason="it must be an id of 1 to 36 characters")
        self._workers.submit(operation_id or _Adopt(volume_id, context.request_id))

    def update_service_capabilities(
        self, context: RequestContext, service_name: str, host: str, capabilities: dict[str, Any]
    ) -> None:
        """Keep what the backend ``host`` says of itself. Raises ``InvalidField``, and nothing is changed."""
        if not isinstance(host, str):
            raise InvalidField(field="host", reason="it must be a text")
        news = self._reported.keep(reports.read(host, capabilities))
        LOG.debug("report of %s: %s", host, news.value)
        if news is News.FIRST:
            self._fleet.expire()
            self._wake_postponed()

    def get_pools(self, context: RequestContext, filters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Every pool that is known, as ``{"name", "capabilities"}``; ``filters`` are values that must be equal."""
        pools = [_described(pool) for pool in self._fleet.pools()]
        return [each for each in pools if _matches(each, filters or {})]

    # --- life cycle ---

    def endpoints(self) -> Sequence[Endpoint]:
        """What may be called on this service."""
        return (self,)

    def init_host(self) -> None:
        """Begin to work: the queue is swept. Never waits."""
        self._workers.start()
        self._sweep.start()
        LOG.info("scheduler %s has started", self._host)

    def listening(self) -> None:
        """Ask the backends to report. Of a scheduler and a backend that start together, whoever listens later is heard:
        either the backend's own first report arrives here, or this question there. What nobody was woken for is looked
        for.
        """
        with self._lock:
            self._asked_at = float("-inf")
        self._ask_for_reports()
        self._look_age = 0.0
        self._sweep.now()

    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """What comes round while the scheduler runs."""
        return (PeriodicTask("forget stale reports", self._forget_stale),)

    def state(self) -> tuple[str, str | None]:
        """``up``, always: a scheduler without backends lets requests wait."""
        return "up", None

    def stop(self, timeout: float) -> None:
        """End after the placements under way, within ``timeout`` seconds; what is queued stays in its rows."""
        end = time.monotonic() + timeout
        self._sweep.stop()
        self._workers.stop(max(0.0, end - time.monotonic()))

    # --- work ---

    def _work(self, job: "str | _Adopt | _Rescue") -> None:
        if isinstance(job, _Rescue):
            self._placer.rescue(job.operation_id)
            return
        if isinstance(job, _Adopt):
            operation_id = adoption.operation_of(self._database, job.volume_id, job.request_id)
        else:
            operation_id = job
        if operation_id is not None:
            self._place(operation_id)

    def _place(self, operation_id: str) -> None:
        wakes = self._wakes
        postponed = self._placer.place(operation_id) is Outcome.POSTPONED
        with self._lock:
            (self._postponed.add if postponed else self._postponed.discard)(operation_id)
            missed = postponed and wakes != self._wakes
        if missed:
            self._workers.submit(operation_id)
        elif postponed:
            self._ask_for_reports()

    def _wake_postponed(self) -> None:
        with self._lock:
            self._wakes += 1
            postponed, self._postponed = self._postponed, set()
        for operation_id in postponed:
            self._workers.submit(operation_id)

    def _look(self) -> None:
        """Find what waits for a place and was not woken, and creates that nobody made an operation for."""
        silent = self._fleet.silent()
        with self._database.reading() as tx:
            due = operations.due(tx, operations.SCHEDULER_QUEUE, self._incarnation, self._look_age)
            orphans = placements.unplaced_volumes(tx, self._sweep_age)
            stranded = placements.stranded(tx, silent) if silent else ()
        self._look_age = self._sweep_age
        for each in due:
            self._workers.submit(each.id)
        for volume in orphans:
            self._workers.submit(_Adopt(volume.id, f"req-{volume.id}"))
        for operation_id in stranded:
            self._workers.submit(_Rescue(operation_id))

    def _forget_stale(self) -> None:
        self._reported.current()

    def _ask_for_reports(self) -> None:
        with self._lock:
            if time.monotonic() - self._asked_at < ASK_INTERVAL:
                return
            self._asked_at = time.monotonic()
        self._volume.publish_service_capabilities(
            RequestContext(user_id="volumed", project_id="volumed", is_admin=True, request_id=f"req-{uuid.uuid4()}")
        )


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 36


def _described(pool: Pool) -> dict[str, Any]:
    use = {
        "allocated_capacity_gb": pool.allocated,
        "provisioned_capacity_gb": pool.allocated,
        "total_volumes": pool.volumes,
        "storage_id": pool.storage_id,
        "backend_state": "up" if pool.unavailable is None else "down",
        "unavailable": pool.unavailable,
    }
    return {"name": pool.host, "capabilities": {**pool.capabilities, **use}}


def _matches(described: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    values = {**described["capabilities"], "name": described["name"]}
    return all(str(values.get(key)) == str(wanted) for key, wanted in filters.items())

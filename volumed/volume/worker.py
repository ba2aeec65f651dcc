"""The work of one backend, from start to stop: its driver, what runs its operations, its exports and its reports.

Puts the parts together and keeps them alive. What an operation does is in its own module; what RPC may ask, in
``manager``.
"""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from volumed.db import deployment, operations, pools
from volumed.db.engine import Database
from volumed.db.operations import LONGEST_PAUSE, Due, NewOperation
from volumed.driver.interface import Closes, Driver, Fills, Owner
from volumed.driver.registry import Setup, load_driver
from volumed.model.context import RequestContext
from volumed.model.records import Json, Operation
from volumed.model.states import OperationState
from volumed.operations.ends import EndPoller
from volumed.operations.engine import Engine
from volumed.operations.examination import BackendExaminer
from volumed.operations.lanes import IDLE, LONG, SHORT, SUSPECT, Lanes
from volumed.operations.locks import NodeLocks
from volumed.operations.procedure import Procedure
from volumed.operations.remains import PURGE
from volumed.operations.rules import Rules
from volumed.operations.sweep import Sweep
from volumed.rpc.scheduler_client import SchedulerClient
from volumed.volume import kinds
from volumed.volume.adoption import Adoption
from volumed.volume.backend import Backend
from volumed.volume.capabilities import Reporter
from volumed.volume.cleanup import Cleanup
from volumed.volume.connections import Connections
from volumed.volume.create import CreateVolume
from volumed.volume.export_keeper import ExportKeeper
from volumed.volume.extend import ExtendVolume
from volumed.volume.flatten import FlattenVolume
from volumed.volume.pool_events import PoolEvents
from volumed.volume.startup import Startup

LOG = logging.getLogger(__name__)

#: Seconds that a volume may be in transit without an operation before it counts as lost.
LOST_AGE = 10.0

#: Seconds between two looks for calls that do not return.
WATCH_INTERVAL = 1.0

#: Claims without a rest in order from which on an operation is suspected: it may be what its processes died of.
SUSPICIOUS_CLAIMS = 2

#: GiB that are filled in the lane of short work: what takes a minute or two, and would wait for hours behind copies.
MOST_FILLED = 16

#: Ends the process and starts it again, given the reason; what was under way is resumed.
Restart = Callable[[str], None]

#: Makes what examines a backend: of ``host@backend``, its driver, the rows, the node's locks, ``export_on_create``.
MakeExaminer = Callable[[str, Driver, Database, NodeLocks, bool], BackendExaminer]


class BackendWorker:
    """Works for ``host@name``. ``state_path`` is this node's folder; ``incarnation`` names this process's life.

    Raises ``ConfigurationError`` for a driver or target that is not installed.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        name: str,
        database: Database,
        scheduler: SchedulerClient,
        state_path: Path,
        incarnation: str,
        make_examiner: MakeExaminer,
        restart: Restart,
    ) -> None:
        self.host = f"{conf.host}@{name}"
        self._conf = conf
        self._database = database
        self._scheduler = scheduler
        self._incarnation = incarnation
        folder = state_path / "locks"
        self._locks = NodeLocks(folder)
        self._driver = _driver(conf, name, database, state_path)
        self._storages: set[str] = set()
        self._backend = Backend(self.host, self._driver, database, conf[name].export_on_create, self._storages)
        self.examiner = make_examiner(self.host, self._driver, database, self._locks, self._backend.export_on_create)
        self._startup = Startup(self.host, self._driver, self._ready)
        pools = PoolEvents(database, self.host)
        self._reporter = Reporter(
            self._about(conf[name], name),
            lambda: pools.observe(self._driver.capabilities()),
            self._send,
            conf.capability_interval,
        )
        self._exports = ExportKeeper(self._backend, self._locks)
        self._lanes, self._engine = self._make_engine()
        self._sweep = Sweep(self.host, conf.operations.sweep_interval, self._look)
        self._watch = Sweep(f"calls of {self.host}", WATCH_INTERVAL, self._look_at_calls)
        self._restart = restart
        self._ends = EndPoller(database)
        self.adoption = Adoption(
            database,
            self.host,
            lambda: self._driver.capabilities().pools,
            count_snapshot_gigabytes=not conf.quota.no_snapshot_gb_quota,
        )
        self.connections = Connections(database, self.host, self._ends, self.wake, conf.rpc.response_timeout)
        self._looked = False

    def _make_engine(self) -> tuple[Lanes, Engine]:
        workers = {
            SHORT: self._conf.operations.short_workers,
            LONG: self._conf.operations.long_workers,
            IDLE: self._conf.operations.idle_workers,
            SUSPECT: 1,
        }
        lanes = Lanes(self.host, workers, lambda operation_id: engine.run(operation_id))
        engine = Engine(
            self._database,
            self._locks,
            queue=self.host,
            worker=self._incarnation,
            procedures=self._procedures(),
            rules=rules_of(self._conf.operations),
            wake_after=lanes.wake_after,
            place_again=self._place_again,
            lane_of=self._lane_of,
        )
        return lanes, engine

    def _procedures(self) -> Sequence[Procedure]:
        count_gigabytes = not self._conf.quota.no_snapshot_gb_quota
        known = kinds.procedures(
            self._backend,
            self._reporter,
            self._exports.unsettle,
            self._wake_queued,
            count_gigabytes,
            self._conf.quota.count_until_purged,
        )
        return (*known, self.examiner.repairs)

    def start(self) -> None:
        """Start the backend up in the background."""
        self._startup.start()

    def _ready(self) -> None:
        """The driver is up: take up what was left, tell the schedulers, and restore exports.

        What may fail comes before the threads: it is all tried again, and a thread starts only once. Exports that
        cannot be restored are tried again with each look at the target.
        """
        for pool in self._driver.capabilities().pools:
            self._database.write(pools.ensure, pool.storage_id)
            self._storages.add(pool.storage_id)
        self._locks.tidy()
        self._lanes.start()
        self._reporter.start()
        self._sweep.start()
        self._watch.start()
        self._exports.start()

    @property
    def driver(self) -> Driver:
        """What is asked where nothing is changed; changes are operations."""
        return self._driver

    def state(self) -> tuple[str, str | None]:
        """``up``, ``starting`` or ``down``, with the reason."""
        return ("down", trouble) if (trouble := self._exports.trouble) else self._startup.state()

    def wake(self, operation_id: str, lane: str = SHORT) -> None:
        """Run the operation if there is something to run."""
        self._lanes.wake(operation_id, lane)

    def _wake_queued(self, queued: NewOperation) -> None:
        self._lanes.wake(queued.id, queued.lane)

    def report_soon(self) -> None:
        """Tell the schedulers within a moment what the backend can do."""
        self._reporter.changed()

    def look_now(self) -> None:
        """Look at the queue within a moment, for everything that waits in it."""
        self._looked = False
        self._sweep.now()

    def report_now(self) -> None:
        """Tell them now; a backend that is not up yet reports as soon as it is."""
        if self._startup.state()[0] == "up":
            self._reporter.publish()

    def stop(self, timeout: float) -> None:
        """Take no new work, let what runs end within ``timeout`` seconds, and let go of the backend."""
        self._startup.stop()
        self._sweep.stop()
        self._watch.stop()
        self._exports.stop()
        if not self._lanes.stop(timeout):
            self._engine.stop()
            LOG.warning("%s stops with work under way; the next start goes on with it", self.host)
        self._reporter.stop()
        self._ends.stop()
        self._driver.close()

    def _look(self) -> None:
        age = self._conf.operations.sweep_age if self._looked else 0.0
        dropped = self._engine.dropped()
        with self._database.reading() as tx:
            due = list(operations.due(tx, self.host, self._incarnation, age))
            due += operations.due_again(tx, dropped) if dropped else []
        for each in due:
            self._take_up(each)
        for operation_id in self.adoption.lost(LOST_AGE):
            self._lanes.wake(operation_id, SHORT)
        self._looked = True

    def _take_up(self, due: Due) -> None:
        """What was taken several times in vain may be what kills its process: one at a time, later each time."""
        if due.claims < SUSPICIOUS_CLAIMS:
            self._lanes.wake(due.id, due.lane)
        elif due.claims == SUSPICIOUS_CLAIMS:
            self._lanes.wake(due.id, SUSPECT)
        else:
            pause = self._conf.operations.retry_pause * 2 ** (due.claims - SUSPICIOUS_CLAIMS - 1)
            self._lanes.wake_after(due.id, SUSPECT, min(pause, LONGEST_PAUSE))

    def _look_at_calls(self) -> None:
        """Others stand in for threads that are blocked; a process with one that is stuck is of no use any more.

        And whoever places volumes hears at once of a pool that takes no more.
        """
        for operation_id in self._engine.tell_blocked():
            self._lanes.stand_in(operation_id)
        if reason := self._engine.stuck():
            LOG.critical("%s starts again: %s", self.host, reason)
            self._restart(reason)
        if isinstance(self._driver, Closes):
            self._reporter.notice(self._driver.closed_pools())

    def cancel(self, operation_id: str) -> None:
        """Have the operation undone, as its row says: now, where it runs or waits here."""
        self._engine.cancel(operation_id)
        self._lanes.wake(operation_id, SHORT)

    def _lane_of(self, operation: Operation) -> str:
        """Where the operation belongs on this backend: what is filled with zeros for long is in no attach's way."""
        is_undone = operation.state == OperationState.UNDOING or operation.cancel_requested
        if operation.lane != SHORT or is_undone or not isinstance(self._driver, Fills) or not self._driver.fills():
            return operation.lane
        return LONG if filled_gib(operation) > MOST_FILLED else SHORT

    def _place_again(self, operation: Operation) -> None:
        context = RequestContext(operation.user_id, operation.project_id, False, operation.request_id)
        self._scheduler.create_volume(context, operation.volume_id, operation.id)

    def _about(self, options: Any, name: str) -> Json:
        return {
            "service_name": options.volume_backend_name or name,
            "host": self.host,
            "incarnation": self._incarnation,
            "availability_zone": options.backend_availability_zone or self._conf.storage_availability_zone,
        }

    def _send(self, report: Json) -> None:
        for pool in report["pools"]:
            pool["volume_backend_name"] = report["service_name"]
        context = RequestContext("volumed", "volumed", True, f"req-{self._incarnation}")
        self._scheduler.update_service_capabilities(context, report["service_name"], self.host, report)


def _driver(conf: cfg.ConfigOpts, name: str, database: Database, state_path: Path) -> Driver:
    with database.reading() as tx:
        owner = Owner(deployment.get_id(tx), name)
    return load_driver(conf, Setup(name, conf.host, owner, conf[name], state_path))


def filled_gib(operation: Operation) -> float:
    """GiB that a create or an extend may have to fill; of one that is done again nobody knows what was left."""
    args = operation.args
    if args.get("again"):
        return math.inf
    if operation.kind == CreateVolume.kind:
        return int(args.get("size") or 0)
    return int(args["new_size"]) - int(args["old_size"]) if operation.kind == ExtendVolume.kind else 0


def rules_of(options: Any) -> Rules:
    """How stubborn the engine of a volume service is, by the group ``operations``."""
    return Rules(
        forward_retries=options.forward_retries,
        retry_pause=options.retry_pause,
        undo_timeout=options.undo_timeout,
        lock_patience=options.lock_patience,
        progress_interval=options.progress_interval,
        endless=frozenset({Cleanup.kind, PURGE, FlattenVolume.kind}),
        blocked_after=options.blocked_after,
        stuck_timeout=options.stuck_timeout,
        busy_timeout=options.busy_timeout,
    )

"""The volume manager of one backend, as RPC sees it: every method checks, wakes an operation and returns.

What an operation does is in its own module; how it is claimed, repeated and undone is in ``operations``.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from oslo_config import cfg

from volumed.db import deployment, operations, pools
from volumed.db.engine import Database
from volumed.driver.interface import Driver, Owner
from volumed.driver.registry import Setup, load_driver
from volumed.model.context import RequestContext
from volumed.model.errors import BackendError, InvalidField, ServiceUnavailable
from volumed.model.records import Json, Operation
from volumed.operations.ends import EndPoller
from volumed.operations.engine import Engine, Rules
from volumed.operations.examination import BackendExaminer
from volumed.operations.lanes import LONG, SHORT, Lanes
from volumed.operations.locks import SERVICE_PREFIX, NodeLocks, ServiceLock
from volumed.operations.periodic import PeriodicTask
from volumed.operations.procedure import Procedure
from volumed.operations.sweep import Sweep
from volumed.rpc.scheduler_client import SchedulerClient
from volumed.volume import exports
from volumed.volume.adoption import Adoption
from volumed.volume.attach import Attach
from volumed.volume.backend import Backend
from volumed.volume.capabilities import Reporter
from volumed.volume.cleanup import Cleanup
from volumed.volume.connections import Connections
from volumed.volume.create import CreateVolume
from volumed.volume.create_snapshot import CreateSnapshot
from volumed.volume.delete import DeleteVolume
from volumed.volume.delete_snapshot import DeleteSnapshot
from volumed.volume.detach import Detach
from volumed.volume.extend import ExtendVolume
from volumed.volume.startup import Startup

LOG = logging.getLogger(__name__)

#: Seconds between two looks whether the target is alive.
TARGET_CHECK_SPACING = 2.0

#: Seconds that a volume may be in transit without an operation before it counts as lost.
LOST_AGE = 10.0


#: Makes what examines a backend: of ``host@backend``, its driver, the rows, the node's locks, ``export_on_create``.
MakeExaminer = Callable[[str, Driver, Database, NodeLocks, bool], BackendExaminer]


class VolumeManager:
    """Serves ``host@backend_name``. ``state_path`` is this node's folder; ``incarnation`` names this process's life.

    Raises ``ConfigurationError`` for a driver or target that is not installed.
    """

    RPC_VERSION: ClassVar[str] = "1.5"
    RPC_METHODS: ClassVar[tuple[str, ...]] = (
        "create_volume",
        "delete_volume",
        "create_snapshot",
        "delete_snapshot",
        "attach_volume",
        "detach_volume",
        "initialize_connection",
        "terminate_connection",
        "extend_volume",
        "publish_service_capabilities",
        "diagnose",
        "repair",
        "service_version",
        "service_config",
    )

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        backend_name: str,
        database: Database,
        scheduler: SchedulerClient,
        state_path: Path,
        incarnation: str,
        make_examiner: MakeExaminer,
    ) -> None:
        self._conf = conf
        self._name = backend_name
        self._database = database
        self._scheduler = scheduler
        self._incarnation = incarnation
        self.host = f"{conf.host}@{backend_name}"
        self._lock = ServiceLock(
            state_path / "locks" / f"{SERVICE_PREFIX}{self.host}.lock", f"volumed-volume {self.host}"
        )
        self._locks = NodeLocks(state_path / "locks")
        with database.reading() as tx:
            owner = Owner(deployment.get_id(tx), backend_name)
        setup = Setup(backend_name, conf.host, owner, conf[backend_name], state_path)
        self._driver = load_driver(conf, setup)
        self._backend = Backend(self.host, self._driver, database, conf[backend_name].export_on_create)
        self._examiner = make_examiner(self.host, self._driver, database, self._locks, self._backend.export_on_create)
        self._startup = Startup(self.host, self._driver, self._ready)
        self._reporter = Reporter(
            self._about(), self._driver.capabilities, self._send_capabilities, conf.capability_interval
        )
        self._lanes = Lanes(
            self.host,
            {SHORT: conf.operations.short_workers, LONG: conf.operations.long_workers},
            lambda operation_id: self._engine.run(operation_id),
        )
        self._engine = Engine(
            database,
            self._locks,
            queue=self.host,
            worker=incarnation,
            procedures=self._procedures(),
            rules=rules_of(conf.operations),
            wake_after=self._lanes.wake_after,
            place_again=self._place_again,
        )
        self._sweep = Sweep(self.host, conf.operations.sweep_interval, self._look)
        self._ends = EndPoller(database)
        self._adoption = Adoption(
            database,
            self.host,
            lambda: self._driver.capabilities().pools,
            count_snapshot_gigabytes=not conf.quota.no_snapshot_gb_quota,
        )
        self._connections = Connections(
            database,
            self.host,
            self._ends,
            lambda operation_id: self._lanes.wake(operation_id, SHORT),
            conf.rpc.response_timeout,
        )
        self._looked = False
        #: Whether the exports were what the rows want when they were last compared.
        self._settled = False
        #: Why the target does not work although the backend was up already.
        self._trouble: str | None = None

    def _procedures(self) -> Sequence[Procedure]:
        backend, reporter = self._backend, self._reporter
        count_gigabytes = not self._conf.quota.no_snapshot_gb_quota
        return (
            CreateVolume(backend, reporter),
            DeleteVolume(backend, reporter, count_gigabytes),
            ExtendVolume(backend, reporter),
            CreateSnapshot(backend, reporter),
            DeleteSnapshot(backend, reporter, count_gigabytes),
            Attach(backend, self._unsettle),
            Detach(backend),
            Cleanup(backend, reporter),
            self._examiner.repairs,
        )

    # --- life -------------------------------------------------------------------------------------------------------

    def init_host(self) -> None:
        """Become the backend's one process and start it up in the background. Raises ``ServiceLocked``."""
        self._lock.take(f"incarnation {self._incarnation}")
        self._startup.start()

    def listening(self) -> None:
        """Report once more: a scheduler may have asked before this service could hear it."""
        self._reporter.changed()

    def _ready(self) -> None:
        """The driver is up: restore exports, take up what was left, and tell the schedulers.

        What may fail comes first: it is all tried again, and a thread starts only once.
        """
        for pool in self._driver.capabilities().pools:
            self._database.write(pools.ensure, pool.storage_id)
        self._locks.tidy()
        self._settled = exports.reconcile(self._backend, self._locks)
        self._lanes.start()
        self._reporter.start()
        self._sweep.start()

    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """What comes round for this backend."""
        return (PeriodicTask("target", self._check_target, TARGET_CHECK_SPACING),)

    def state(self) -> tuple[str, str | None]:
        """What the service says of itself, and why."""
        return ("down", self._trouble) if self._trouble else self._startup.state()

    def stop(self, timeout: float) -> None:
        """Take no new work, let what runs end within ``timeout`` seconds, and let go of the backend."""
        self._startup.stop()
        self._sweep.stop()
        if not self._lanes.stop(timeout):
            self._engine.stop()
            LOG.warning("%s stops with work under way; the next start goes on with it", self.host)
        self._reporter.stop()
        self._ends.stop()
        self._driver.close()
        self._lock.release()

    def _unsettle(self) -> None:
        self._settled = False

    def _check_target(self) -> None:
        if self._startup.state()[0] != "up":
            return
        try:
            if self._driver.check_health() or not self._settled:
                self._settled = False
                self._settled = exports.reconcile(self._backend, self._locks)
        except BackendError as error:
            if self._trouble != str(error):
                LOG.error("the target of %s does not work, it is looked after on and on: %s", self.host, error)
            self._trouble = str(error)
        else:
            self._trouble = None

    def _look(self) -> None:
        age = self._conf.operations.sweep_age if self._looked else 0.0
        with self._database.reading() as tx:
            due = operations.due(tx, self.host, self._incarnation, age)
        for operation_id, lane in due:
            self._lanes.wake(operation_id, lane)
        for operation_id in self._engine.dropped():
            self._lanes.wake(operation_id, SHORT)
        for operation_id in self._adoption.lost(LOST_AGE):
            self._lanes.wake(operation_id, SHORT)
        self._looked = True

    def _place_again(self, operation: Operation) -> None:
        context = RequestContext(operation.user_id, operation.project_id, False, operation.request_id)
        self._scheduler.create_volume(context, operation.volume_id, operation.id)

    def _about(self) -> Json:
        options = self._conf[self._name]
        return {
            "service_name": options.volume_backend_name or self._name,
            "host": self.host,
            "incarnation": self._incarnation,
            "availability_zone": options.backend_availability_zone or self._conf.storage_availability_zone,
        }

    def _send_capabilities(self, report: Json) -> None:
        for pool in report["pools"]:
            pool["volume_backend_name"] = report["service_name"]
        context = RequestContext("volumed", "volumed", True, f"req-{self._incarnation}")
        self._scheduler.update_service_capabilities(context, report["service_name"], self.host, report)

    # --- RPC --------------------------------------------------------------------------------------------------------

    def create_volume(
        self,
        context: RequestContext,
        volume_id: str,
        request_spec: Json | None = None,
        filter_properties: Json | None = None,
        allow_reschedule: bool = True,
        snapshot_id: str | None = None,
        image_id: str | None = None,
        source_volid: str | None = None,
        operation_id: str | None = None,
    ) -> None:
        """Wake the volume's create. The row says from what; ``image_id`` is refused in this release."""
        if image_id is not None:
            raise InvalidField(field="image_id", reason="creating a volume from an image is not supported yet")
        lane = LONG if snapshot_id or source_volid else SHORT
        self._lanes.wake(operation_id or self._adoption.create(context, volume_id), lane)

    def delete_volume(self, context: RequestContext, volume_id: str, operation_id: str | None = None) -> None:
        """Wake the volume's delete."""
        self._lanes.wake(operation_id or self._adoption.delete(context, volume_id), SHORT)

    def extend_volume(
        self, context: RequestContext, volume_id: str, new_size: int, operation_id: str | None = None
    ) -> None:
        """Wake the volume's extend to ``new_size`` GiB."""
        self._lanes.wake(operation_id or self._adoption.extend(context, volume_id, new_size), SHORT)

    def create_snapshot(
        self, context: RequestContext, volume_id: str, snapshot_id: str, operation_id: str | None = None
    ) -> None:
        """Wake the snapshot's create."""
        self._lanes.wake(operation_id or self._adoption.create_snapshot(context, snapshot_id), LONG)

    def delete_snapshot(self, context: RequestContext, snapshot_id: str, operation_id: str | None = None) -> None:
        """Wake the snapshot's delete."""
        self._lanes.wake(operation_id or self._adoption.delete_snapshot(context, snapshot_id), SHORT)

    def initialize_connection(
        self, context: RequestContext, volume_id: str, connector: Json | None, operation_id: str | None = None
    ) -> Json | None:
        """With an operation: wake it. Without: attach for ``connector``, wait, and return what it needs to log in."""
        if operation_id is not None:
            self._lanes.wake(operation_id, SHORT)
            return None
        return self._connections.initialize(context, volume_id, connector)

    def terminate_connection(
        self,
        context: RequestContext,
        volume_id: str,
        connector: Json | None,
        force: bool = False,
        operation_id: str | None = None,
    ) -> None:
        """With an operation: wake it. Without: take the connector's access away and wait until it is gone."""
        if operation_id is not None:
            self._lanes.wake(operation_id, SHORT)
        else:
            self._connections.terminate(context, volume_id, connector)

    def attach_volume(self, context: RequestContext, volume_id: str, instance_uuid: str, mountpoint: str) -> None:
        """The instance uses the volume now."""
        self._connections.mark_attached(context, volume_id, instance_uuid, mountpoint)

    def detach_volume(self, context: RequestContext, volume_id: str) -> None:
        """Nobody uses the volume any more."""
        self._connections.mark_detached(context, volume_id)

    def publish_service_capabilities(self, context: RequestContext) -> None:
        """Report to the schedulers now; a backend that is not up yet reports as soon as it is."""
        if self._startup.state()[0] == "up":
            self._reporter.publish()

    def diagnose(self, context: RequestContext) -> list[Json]:
        """Compare the backend with the rows, and say what differs. Raises ``ServiceUnavailable`` while it is not up."""
        state, reason = self.state()
        if state != "up":
            raise ServiceUnavailable(reason=f"{self.host} is {state}" + (f": {reason}" if reason else ""))
        return [finding.as_record() for finding in self._examiner.look()]

    def repair(self, context: RequestContext, operation_id: str) -> None:
        """Wake the repair of a finding."""
        self._lanes.wake(operation_id, SHORT)

    def service_version(self, context: RequestContext) -> Json:
        """The RPC version and the release."""
        from importlib.metadata import version

        return {"service": "volumed-volume", "host": self.host, "rpc": self.RPC_VERSION, "release": version("volumed")}

    def service_config(self, context: RequestContext) -> Json:
        """The options in force by group; secrets are masked."""
        from volumed.conf import masked

        return masked(self._conf)


def rules_of(options: Any) -> Rules:
    """How stubborn the engine of a volume service is, by the group ``operations``."""
    return Rules(
        forward_retries=options.forward_retries,
        retry_pause=options.retry_pause,
        undo_timeout=options.undo_timeout,
        lock_patience=options.lock_patience,
        progress_interval=options.progress_interval,
        endless=frozenset({Cleanup.kind}),
    )

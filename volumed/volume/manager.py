"""The volume manager of one backend, as RPC sees it: every method checks, wakes an operation and returns.

What an operation does is in its own module, how it is carried out in ``operations``, and what keeps it all alive in
``worker``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from oslo_config import cfg

from volumed.db.engine import Database
from volumed.model.context import RequestContext
from volumed.model.errors import InvalidField
from volumed.model.records import Json
from volumed.operations.lanes import LONG, SHORT
from volumed.operations.periodic import PeriodicTask
from volumed.rpc.dispatcher import Endpoint, highest_version
from volumed.rpc.scheduler_client import SchedulerClient
from volumed.volume.diagnosis import DiagnosisEndpoint
from volumed.volume.manageable_endpoint import ManageableEndpoint
from volumed.volume.operation_endpoint import OperationEndpoint
from volumed.volume.worker import BackendWorker, MakeExaminer, Restart


class VolumeManager:
    """Serves ``host@backend_name``; see ``BackendWorker`` for what it is made from."""

    RPC_VERSION: ClassVar[str] = "1.4"
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
        restart: Restart,
    ) -> None:
        self._conf = conf
        self._worker = BackendWorker(
            conf, backend_name, database, scheduler, state_path, incarnation, make_examiner, restart
        )
        self.host = self._worker.host

    # --- life -------------------------------------------------------------------------------------------------------

    def endpoints(self) -> Sequence[Endpoint]:
        """What may be called on this service."""
        return (
            self,
            DiagnosisEndpoint(self._worker),
            OperationEndpoint(self._worker),
            ManageableEndpoint(self._worker),
        )

    def init_host(self) -> None:
        """Start the backend up in the background."""
        self._worker.start()

    def listening(self) -> None:
        """Report once more, and look for work: what was asked before this service could hear it was missed."""
        self._worker.report_soon()
        self._worker.look_now()

    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """None: what comes round for this backend is the worker's own, from when the driver is up."""
        return ()

    def state(self) -> tuple[str, str | None]:
        """What the service says of itself, and why."""
        return self._worker.state()

    def stop(self, timeout: float) -> None:
        """Take no new work, let what runs end within ``timeout`` seconds, and let go of the backend."""
        self._worker.stop(timeout)

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
        self._worker.wake(operation_id or self._worker.adoption.create(context, volume_id), lane)

    def delete_volume(self, context: RequestContext, volume_id: str, operation_id: str | None = None) -> None:
        """Wake the volume's delete."""
        self._worker.wake(operation_id or self._worker.adoption.delete(context, volume_id), SHORT)

    def extend_volume(
        self, context: RequestContext, volume_id: str, new_size: int, operation_id: str | None = None
    ) -> None:
        """Wake the volume's extend to ``new_size`` GiB."""
        self._worker.wake(operation_id or self._worker.adoption.extend(context, volume_id, new_size), SHORT)

    def create_snapshot(
        self, context: RequestContext, volume_id: str, snapshot_id: str, operation_id: str | None = None
    ) -> None:
        """Wake the snapshot's create."""
        self._worker.wake(operation_id or self._worker.adoption.create_snapshot(context, snapshot_id), LONG)

    def delete_snapshot(self, context: RequestContext, snapshot_id: str, operation_id: str | None = None) -> None:
        """Wake the snapshot's delete."""
        self._worker.wake(operation_id or self._worker.adoption.delete_snapshot(context, snapshot_id), SHORT)

    def initialize_connection(
        self, context: RequestContext, volume_id: str, connector: Json | None, operation_id: str | None = None
    ) -> Json | None:
        """With an operation: wake it. Without: attach for ``connector``, wait, and return what it needs to log in."""
        if operation_id is not None:
            self._worker.wake(operation_id, SHORT)
            return None
        return self._worker.connections.initialize(context, volume_id, connector)

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
            self._worker.wake(operation_id, SHORT)
        else:
            self._worker.connections.terminate(context, volume_id, connector, force)

    def attach_volume(self, context: RequestContext, volume_id: str, instance_uuid: str, mountpoint: str) -> None:
        """The instance uses the volume now."""
        self._worker.connections.mark_attached(context, volume_id, instance_uuid, mountpoint)

    def detach_volume(self, context: RequestContext, volume_id: str) -> None:
        """Nobody uses the volume any more."""
        self._worker.connections.mark_detached(context, volume_id)

    def publish_service_capabilities(self, context: RequestContext) -> None:
        """Report to the schedulers now; a backend that is not up yet reports as soon as it is."""
        self._worker.report_now()

    def service_version(self, context: RequestContext) -> Json:
        """The newest RPC version that is served, and the release."""
        from importlib.metadata import version

        newest = highest_version(self.endpoints())
        return {"service": "volumed-volume", "host": self.host, "rpc": newest, "release": version("volumed")}

    def service_config(self, context: RequestContext) -> Json:
        """The options in force by group; secrets are masked."""
        from volumed.conf import masked

        return masked(self._conf)

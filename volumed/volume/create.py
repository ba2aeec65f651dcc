"""``volume.create``: an empty volume, or one filled from a snapshot or another volume.

Everything can be undone until the end; a backend that fails is left as it was, and the scheduler tries another.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import operations, snapshots, volumes
from volumed.db.clock import now
from volumed.db.operations import NewOperation
from volumed.driver.interface import Facts, Flattens
from volumed.model.errors import BackendInvalid
from volumed.model.records import Json, Operation
from volumed.model.states import OperationState, VolumeStatus
from volumed.operations import notifications
from volumed.operations.locks import Claims
from volumed.operations.procedure import PoolChange, Tried
from volumed.volume.backend import Backend, snapshot_ref, volume_ref
from volumed.volume.capabilities import Reporter
from volumed.volume.exports import lock_of, settle
from volumed.volume.flatten import flatten_after
from volumed.volume.purge import Remainders
from volumed.volume.work import VolumeWork, read_volume


@dataclass(frozen=True)
class Provision:
    """Make the volume with its data; its name is derived from its id, so a repeat finds it.

    A copy that should be made independent of its source is flattened later, by an operation of its own.
    """

    backend: Backend
    name: str = "provision"

    def do(self, work: VolumeWork) -> None:
        work.facts = self._make(work)
        volume, driver = work.volume, self.backend.driver
        is_copy = volume.snapshot_id is not None or volume.source_volid is not None
        work.wants_flatten = is_copy and isinstance(driver, Flattens) and driver.wants_flatten(volume_ref(volume))

    def undo(self, work: VolumeWork) -> None:
        work.remains = self.backend.driver.delete(volume_ref(work.volume))

    def _make(self, work: VolumeWork) -> Facts:
        volume, driver = work.volume, self.backend.driver
        if volume.snapshot_id is not None:
            with self.backend.database.reading() as tx:
                snapshot = snapshots.get(tx, volume.snapshot_id)
                origin = volumes.get(tx, snapshot.volume_id)
            return driver.create_from_snapshot(volume_ref(volume), snapshot_ref(snapshot, origin), work.progress)
        if volume.source_volid is not None:
            with self.backend.database.reading() as tx:
                source = volumes.get(tx, volume.source_volid)
            self._refuse_a_moving_source(work.operation, source.id)
            return driver.create_from_volume(volume_ref(volume), volume_ref(source), work.progress)
        return driver.create(volume_ref(volume), work.progress)

    def _refuse_a_moving_source(self, operation: Operation, source_id: str) -> None:
        """Whoever attaches takes the source's lock exclusively, so this holds until the copy is done."""
        if not self.backend.copies_in_one_instant and self.backend.is_attached(operation, source_id):
            raise BackendInvalid(
                backend=self.backend.host,
                what=f"a clone of volume {source_id}",
                reason="it is attached, and this backend cannot copy it in one instant",
            )


@dataclass(frozen=True)
class Export:
    """Make the volume's target where volumes are exported from their creation on; nobody may log in yet."""

    backend: Backend
    name: str = "export"

    def do(self, work: VolumeWork) -> None:
        if self.backend.export_on_create:
            settle(self.backend, work.volume)

    def undo(self, work: VolumeWork) -> None:
        self.backend.driver.remove_export(volume_ref(work.volume))


@dataclass(frozen=True)
class Elsewhere:
    """Another backend may do better: the placement is given back, with what is left counted until it is gone."""

    remainders: Remainders

    def retreat(self, tx: Connection, work: VolumeWork, error: Json) -> tuple[Tried, PoolChange | None] | None:
        if work.operation.args.get("host_given"):
            return None  # another API tier placed it: it is not the scheduler's to place
        volumes.change(tx, work.volume.id, host=None, storage_id=None)
        return Tried(work.volume.host, work.volume.storage_id, error), _freed(tx, work, self.remainders)

    def cleanup(self, work: VolumeWork) -> NewOperation:
        work.left_behind = True
        leftover = str(uuid.uuid4())
        operation = work.operation
        return NewOperation(
            id=str(uuid.uuid4()),
            kind="cleanup",
            resource_type="leftover",
            resource_id=leftover,
            volume_id=work.volume.id,
            project_id=operation.project_id,
            user_id=operation.user_id,
            request_id=operation.request_id,
            queue=operation.queue,
            args={
                "host": work.volume.host,
                "storage_id": work.volume.storage_id,
                "size": work.volume.size,
                "of_operation": operation.id,
            },
        )


class CreateVolume:
    """See the module."""

    kind = "volume.create"
    no_return: str | None = None

    def __init__(
        self,
        backend: Backend,
        reporter: Reporter,
        remainders: Remainders,
        wake: Callable[[NewOperation], None],
    ) -> None:
        self._backend = backend
        self._wake = wake
        self._reporter = reporter
        self._remainders = remainders
        self.elsewhere = Elsewhere(remainders)
        self.steps = (Provision(backend), Export(backend))

    def prepare(self, operation: Operation) -> VolumeWork:
        return read_volume(self._backend, operation)

    def locks(self, work: VolumeWork) -> Claims:
        source = work.volume.snapshot_id or work.volume.source_volid
        return Claims(exclusive=[work.volume.id, lock_of(work.volume.id)], shared=[source] if source else [])

    def succeed(self, tx: Connection, work: VolumeWork) -> None:
        volumes.move(
            tx,
            work.volume.id,
            VolumeStatus.CREATING,
            VolumeStatus.AVAILABLE,
            facts=work.facts,
            error=None,
            launched_at=now(),
        )
        notifications.of_volume(tx, work.operation, work.volume, "create.end", VolumeStatus.AVAILABLE)
        work.flatten = flatten_after(work.operation) if work.wants_flatten else None
        if work.flatten is not None:
            operations.add(tx, work.flatten, live_key=work.flatten.id)

    def fail(self, tx: Connection, work: VolumeWork, error: Json) -> PoolChange | None:
        volumes.move(
            tx, work.volume.id, VolumeStatus.CREATING, VolumeStatus.ERROR, error=error, host=None, storage_id=None
        )
        notifications.of_volume(tx, work.operation, work.volume, "create.error", VolumeStatus.ERROR, error=error)
        return _freed(tx, work, self._remainders)

    def ended(self, work: VolumeWork, state: str) -> None:
        self._reporter.changed()
        self._remainders.begin(work)
        if work.flatten is not None and state == OperationState.SUCCEEDED:
            self._wake(work.flatten)


def _freed(tx: Connection, work: VolumeWork, remainders: Remainders) -> PoolChange | None:
    """The allocation given back after a complete undo; a cleanup or a purge gives it back otherwise."""
    if work.left_behind:
        return None
    return remainders.free(tx, work.operation, work, volume_ref(work.volume), work.volume.storage_id)

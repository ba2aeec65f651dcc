"""``snapshot.create``: a volume as it is at one instant."""

from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import snapshots
from volumed.model.records import Json, Operation
from volumed.model.states import SnapshotStatus
from volumed.operations import notifications
from volumed.operations.locks import Claims
from volumed.operations.procedure import PoolChange
from volumed.volume.backend import Backend, snapshot_ref
from volumed.volume.capabilities import Reporter
from volumed.volume.work import SnapshotWork, read_snapshot


@dataclass(frozen=True)
class Take:
    """Take the snapshot; its name is derived from its id, so a repeat finds it."""

    backend: Backend
    name: str = "take"

    def do(self, work: SnapshotWork) -> None:
        attached = self.backend.is_attached(work.operation, work.volume.id)
        work.facts = self.backend.driver.create_snapshot(
            snapshot_ref(work.snapshot, work.volume), attached, work.progress
        )

    def undo(self, work: SnapshotWork) -> None:
        self.backend.driver.delete_snapshot(snapshot_ref(work.snapshot, work.volume))


class CreateSnapshot:
    """See the module."""

    kind = "snapshot.create"
    no_return: str | None = None
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter) -> None:
        self._backend = backend
        self._reporter = reporter
        self.steps = (Take(backend),)

    def prepare(self, operation: Operation) -> SnapshotWork:
        return read_snapshot(self._backend, operation)

    def locks(self, work: SnapshotWork) -> Claims:
        return Claims(exclusive=[work.snapshot.id], shared=[work.volume.id])

    def succeed(self, tx: Connection, work: SnapshotWork) -> None:
        snapshots.move(
            tx, work.snapshot.id, SnapshotStatus.CREATING, SnapshotStatus.AVAILABLE, facts=work.facts, error=None
        )
        notifications.of_snapshot(tx, work.operation, work.snapshot, "create.end", SnapshotStatus.AVAILABLE)

    def fail(self, tx: Connection, work: SnapshotWork, error: Json) -> PoolChange | None:
        snapshots.move(tx, work.snapshot.id, SnapshotStatus.CREATING, SnapshotStatus.ERROR, error=error)
        notifications.of_snapshot(tx, work.operation, work.snapshot, "create.error", SnapshotStatus.ERROR, error=error)
        return None

    def ended(self, work: SnapshotWork, state: str) -> None:
        self._reporter.changed()

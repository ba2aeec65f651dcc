"""``snapshot.delete``: removed on the backend, then the row goes. There is no way back."""

from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import quotas, snapshots, volume_types
from volumed.model import quota_use
from volumed.model.records import Json, Operation
from volumed.model.states import SnapshotStatus
from volumed.operations import notifications
from volumed.operations.locks import Claims
from volumed.operations.procedure import OneWay, PoolChange
from volumed.volume.backend import Backend, snapshot_ref
from volumed.volume.capabilities import Reporter
from volumed.volume.work import SnapshotWork, read_snapshot


@dataclass(frozen=True)
class Remove(OneWay):
    """Remove the snapshot; an absent one is fine."""

    backend: Backend
    name: str = "remove"

    def do(self, work: SnapshotWork) -> None:
        self.backend.refuse_elsewhere(work.volume, work.operation)
        self.backend.driver.delete_snapshot(snapshot_ref(work.snapshot, work.volume))


def forget(tx: Connection, work: SnapshotWork, event: str, count_gigabytes: bool) -> None:
    """The row goes, and its quota is free; ``count_gigabytes``: snapshots spend those, too."""
    snapshot = work.snapshot
    type_name = volume_types.name_of(tx, snapshot.volume_type_id)
    use = quota_use.of_snapshot(snapshot.size, type_name, count_gigabytes)
    quotas.adjust(tx, snapshot.project_id, quota_use.negative(use))
    snapshots.remove(tx, snapshot.id)
    notifications.of_snapshot(tx, work.operation, snapshot, event, "deleted")


class DeleteSnapshot:
    """See the module."""

    kind = "snapshot.delete"
    no_return: str | None = "remove"
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter, count_gigabytes: bool) -> None:
        self._backend = backend
        self._reporter = reporter
        self._count_gigabytes = count_gigabytes
        self.steps = (Remove(backend),)

    def prepare(self, operation: Operation) -> SnapshotWork:
        return read_snapshot(self._backend, operation)

    def locks(self, work: SnapshotWork) -> Claims:
        return Claims(exclusive=[work.snapshot.id], shared=[work.volume.id])

    def succeed(self, tx: Connection, work: SnapshotWork) -> None:
        forget(tx, work, "delete.end", self._count_gigabytes)

    def fail(self, tx: Connection, work: SnapshotWork, error: Json) -> PoolChange | None:
        snapshots.move(tx, work.snapshot.id, SnapshotStatus.DELETING, SnapshotStatus.ERROR_DELETING, error=error)
        notifications.of_snapshot(
            tx, work.operation, work.snapshot, "delete.error", SnapshotStatus.ERROR_DELETING, error=error
        )
        return None

    def ended(self, work: SnapshotWork, state: str) -> None:
        self._reporter.changed()

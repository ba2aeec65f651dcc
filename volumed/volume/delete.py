"""``volume.delete``: unexported and removed, its snapshots with it where a cascade was asked; then the row goes.

There is no way back from its first step: it is tried again until it is done, or ends ``error_deleting``.
"""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import quotas, snapshots, volume_types, volumes
from volumed.model import quota_use
from volumed.model.records import Json, Operation, Snapshot
from volumed.model.states import SnapshotStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.locks import Claims
from volumed.operations.procedure import OneWay, PoolChange
from volumed.volume.backend import Backend, snapshot_ref, volume_ref
from volumed.volume.capabilities import Reporter
from volumed.volume.exports import lock_of
from volumed.volume.flatten import flatten_lock
from volumed.volume.purge import Remainders
from volumed.volume.work import VolumeWork, read_volume


@dataclass(frozen=True)
class Unexport(OneWay):
    """Take the target away, so that nobody reaches the volume while it goes."""

    backend: Backend
    name: str = "unexport"

    def do(self, work: VolumeWork) -> None:
        self.backend.driver.remove_export(volume_ref(work.volume))


@dataclass(frozen=True)
class RemoveSnapshots(OneWay):
    """Remove the snapshots that go with the volume."""

    backend: Backend
    name: str = "remove_snapshots"

    def do(self, work: VolumeWork) -> None:
        self.backend.refuse_elsewhere(work.volume, work.operation)
        for snapshot in snapshots_to_delete(self.backend, work):
            self.backend.driver.delete_snapshot(snapshot_ref(snapshot, work.volume))


@dataclass(frozen=True)
class Remove(OneWay):
    """Remove the volume; an absent one is fine. What remains of it is purged by an operation of its own.

    One that is on another storage than the driver serves now (another pool or folder was configured) is not absent:
    only force leaves its data there.
    """

    backend: Backend
    name: str = "remove"

    def do(self, work: VolumeWork) -> None:
        self.backend.refuse_elsewhere(work.volume, work.operation)
        work.remains = self.backend.driver.delete(volume_ref(work.volume))


def snapshots_to_delete(backend: Backend, work: VolumeWork) -> list[Snapshot]:
    """The snapshots that the cascade set to ``deleting``; none where none was asked."""
    if not work.operation.args.get("cascade"):
        return []
    with backend.database.reading() as tx:
        return [row for row in snapshots.of_volume(tx, work.volume.id) if row.status == SnapshotStatus.DELETING]


class DeleteVolume:
    """See the module."""

    kind = "volume.delete"
    no_return: str | None = "unexport"
    elsewhere = None

    def __init__(
        self,
        backend: Backend,
        reporter: Reporter,
        remainders: Remainders,
        count_snapshot_gigabytes: bool,
        count_until_purged: bool,
    ) -> None:
        self._backend = backend
        self._reporter = reporter
        self._remainders = remainders
        self._count_snapshot_gigabytes = count_snapshot_gigabytes
        self._count_until_purged = count_until_purged
        self.steps = (Unexport(backend), RemoveSnapshots(backend), Remove(backend))

    def prepare(self, operation: Operation) -> VolumeWork:
        return read_volume(self._backend, operation)

    def locks(self, work: VolumeWork) -> Claims:
        going = [snapshot.id for snapshot in snapshots_to_delete(self._backend, work)]
        return Claims(exclusive=[work.volume.id, lock_of(work.volume.id), flatten_lock(work.volume.id), *going])

    def succeed(self, tx: Connection, work: VolumeWork) -> PoolChange | None:
        volume = work.volume
        going = snapshots_to_delete(self._backend, work)
        type_name = volume_types.name_of(tx, volume.volume_type_id)
        of_volume = quota_use.of_volume(volume.size, type_name)
        stays = self._count_until_purged and work.remains is not None
        use = {volume.project_id: Counter({} if stays else of_volume)}
        for snapshot in going:
            of_snapshot = quota_use.of_snapshot(snapshot.size, type_name, self._count_snapshot_gigabytes)
            use.setdefault(snapshot.project_id, Counter()).update(of_snapshot)
        for project_id in sorted(each for each in use if use[each]):
            quotas.adjust(tx, project_id, quota_use.negative(use[project_id]))
        for snapshot in going:
            snapshots.remove(tx, snapshot.id)
            notifications.of_snapshot(tx, work.operation, snapshot, "delete.end", "deleted")
        volumes.remove(tx, volume.id)
        notifications.of_volume(tx, work.operation, volume, "delete.end", "deleted")
        quota = {"project_id": volume.project_id, "use": of_volume} if stays else None
        return self._remainders.free(tx, work.operation, work, volume_ref(volume), volume.storage_id, quota)

    def fail(self, tx: Connection, work: VolumeWork, error: Json) -> PoolChange | None:
        for snapshot in snapshots_to_delete(self._backend, work):
            snapshots.move(tx, snapshot.id, SnapshotStatus.DELETING, SnapshotStatus.ERROR_DELETING, error=error)
        volumes.move(tx, work.volume.id, VolumeStatus.DELETING, VolumeStatus.ERROR_DELETING, error=error)
        notifications.of_volume(
            tx, work.operation, work.volume, "delete.error", VolumeStatus.ERROR_DELETING, error=error
        )
        return None

    def ended(self, work: VolumeWork, state: str) -> None:
        self._reporter.changed()
        self._remainders.begin(work)

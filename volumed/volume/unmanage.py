"""``volume.unmanage`` and ``snapshot.unmanage``: our mark is taken off, the data stay, and the row goes.

There is no way back from the first step: it is tried again until it is done, or ends ``error_unmanaging``, from where
it can be asked for again.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import quotas, snapshots, volume_types, volumes
from volumed.model import quota_use
from volumed.model.records import Json, Operation
from volumed.model.states import SnapshotStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.locks import Claims
from volumed.operations.procedure import OneWay, PoolChange
from volumed.volume.backend import Backend, snapshot_ref, volume_ref
from volumed.volume.capabilities import Reporter
from volumed.volume.delete import Unexport
from volumed.volume.delete_snapshot import forget
from volumed.volume.exports import lock_of
from volumed.volume.manageable import able
from volumed.volume.work import SnapshotWork, VolumeWork, read_snapshot, read_volume


@dataclass(frozen=True)
class GiveAway(OneWay):
    """Take our mark off the volume; one that has none is fine."""

    backend: Backend
    name: str = "give_away"

    def do(self, work: VolumeWork) -> None:
        able(self.backend.driver, self.backend.host).unmanage(volume_ref(work.volume))


@dataclass(frozen=True)
class GiveSnapshotAway(OneWay):
    """Take our mark off the snapshot; one that has none is fine."""

    backend: Backend
    name: str = "give_away"

    def do(self, work: SnapshotWork) -> None:
        able(self.backend.driver, self.backend.host).unmanage_snapshot(snapshot_ref(work.snapshot, work.volume))


class UnmanageVolume:
    """See the module."""

    kind = "volume.unmanage"
    no_return: str | None = "unexport"
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter) -> None:
        self._backend = backend
        self._reporter = reporter
        self.steps = (Unexport(backend), GiveAway(backend))

    def prepare(self, operation: Operation) -> VolumeWork:
        return read_volume(self._backend, operation)

    def locks(self, work: VolumeWork) -> Claims:
        return Claims(exclusive=[work.volume.id, lock_of(work.volume.id)])

    def succeed(self, tx: Connection, work: VolumeWork) -> PoolChange | None:
        volume = work.volume
        use = quota_use.of_volume(volume.size, volume_types.name_of(tx, volume.volume_type_id))
        quotas.adjust(tx, volume.project_id, quota_use.negative(use))
        volumes.remove(tx, volume.id)
        notifications.of_volume(tx, work.operation, volume, "unmanage.end", "deleted")
        return PoolChange(volume.storage_id, -volume.size, -1) if volume.storage_id else None

    def fail(self, tx: Connection, work: VolumeWork, error: Json) -> PoolChange | None:
        to = VolumeStatus.ERROR_UNMANAGING
        volumes.move(tx, work.volume.id, VolumeStatus.UNMANAGING, to, error=error)
        notifications.of_volume(tx, work.operation, work.volume, "unmanage.error", to, error=error)
        return None

    def ended(self, work: VolumeWork, state: str) -> None:
        self._reporter.changed()


class UnmanageSnapshot:
    """See the module."""

    kind = "snapshot.unmanage"
    no_return: str | None = "give_away"
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter, count_gigabytes: bool) -> None:
        self._backend = backend
        self._reporter = reporter
        self._count_gigabytes = count_gigabytes
        self.steps = (GiveSnapshotAway(backend),)

    def prepare(self, operation: Operation) -> SnapshotWork:
        return read_snapshot(self._backend, operation)

    def locks(self, work: SnapshotWork) -> Claims:
        return Claims(exclusive=[work.snapshot.id], shared=[work.volume.id])

    def succeed(self, tx: Connection, work: SnapshotWork) -> None:
        forget(tx, work, "unmanage.end", self._count_gigabytes)

    def fail(self, tx: Connection, work: SnapshotWork, error: Json) -> PoolChange | None:
        to = SnapshotStatus.ERROR_UNMANAGING
        snapshots.move(tx, work.snapshot.id, SnapshotStatus.UNMANAGING, to, error=error)
        notifications.of_snapshot(tx, work.operation, work.snapshot, "unmanage.error", to, error=error)
        return None

    def ended(self, work: SnapshotWork, state: str) -> None:
        self._reporter.changed()

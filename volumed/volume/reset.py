"""``volume.reset`` and ``snapshot.reset``: ask the backend, and set the status that is true.

A status is a fact, not a wish: whole data is ``available`` or what the attachments say, missing data is ``error``.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import attachments, snapshots, volumes
from volumed.model.errors import BackendInvalid
from volumed.model.records import Json, Operation
from volumed.model.states import SnapshotStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.locks import Claims
from volumed.operations.procedure import PoolChange
from volumed.volume.backend import Backend, snapshot_ref, volume_ref
from volumed.volume.work import SnapshotWork, VolumeWork, read_snapshot, read_volume


@dataclass(frozen=True)
class AskForVolume:
    """Ask whether the volume is there, whole and as large as its row says. Changes nothing.

    One whose extend failed stays what it is while it is not: only the extend, done again, makes it whole.
    """

    backend: Backend
    name: str = "ask"

    def do(self, work: VolumeWork) -> None:
        work.is_whole = self.backend.driver.has_volume(volume_ref(work.volume))
        if not work.is_whole and work.volume.status == VolumeStatus.ERROR_EXTENDING:
            reason = "its extend is not finished, or its data are gone: retry the extend, or delete the volume"
            raise BackendInvalid(backend=self.backend.host, what=f"to reset volume {work.volume.id}", reason=reason)

    def undo(self, work: VolumeWork) -> None:
        """There is nothing to undo."""


@dataclass(frozen=True)
class AskForSnapshot:
    """Ask whether the snapshot is there, whole. Changes nothing."""

    backend: Backend
    name: str = "ask"

    def do(self, work: SnapshotWork) -> None:
        work.is_whole = self.backend.driver.has_snapshot(snapshot_ref(work.snapshot, work.volume))

    def undo(self, work: SnapshotWork) -> None:
        """There is nothing to undo."""


class ResetVolume:
    """See the module."""

    kind = "volume.reset"
    no_return: str | None = None
    elsewhere = None

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.steps = (AskForVolume(backend),)

    def prepare(self, operation: Operation) -> VolumeWork:
        return read_volume(self._backend, operation)

    def locks(self, work: VolumeWork) -> Claims:
        return Claims(exclusive=[work.volume.id])

    def succeed(self, tx: Connection, work: VolumeWork) -> None:
        volumes.touch(tx, work.volume.id)
        volume = volumes.get(tx, work.volume.id)
        to = attachments.status_of_volume(tx, volume.id) if work.is_whole else VolumeStatus.ERROR
        error = None if work.is_whole else _missing("volume", volume.id, self._backend.host)
        volumes.move(tx, volume.id, VolumeStatus(volume.status), to, error=error)
        notifications.of_volume(tx, work.operation, volume, "reset_status.end", to)

    def fail(self, tx: Connection, work: VolumeWork, error: Json) -> PoolChange | None:
        return None  # nothing is known that was not known before: the status stays

    def ended(self, work: VolumeWork, state: str) -> None:
        """Nothing to tell: no capacity has changed."""


class ResetSnapshot:
    """See the module."""

    kind = "snapshot.reset"
    no_return: str | None = None
    elsewhere = None

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.steps = (AskForSnapshot(backend),)

    def prepare(self, operation: Operation) -> SnapshotWork:
        return read_snapshot(self._backend, operation)

    def locks(self, work: SnapshotWork) -> Claims:
        return Claims(exclusive=[work.snapshot.id], shared=[work.volume.id])

    def succeed(self, tx: Connection, work: SnapshotWork) -> None:
        snapshot = work.snapshot
        to = SnapshotStatus.AVAILABLE if work.is_whole else SnapshotStatus.ERROR
        error = None if work.is_whole else _missing("snapshot", snapshot.id, self._backend.host)
        snapshots.move(tx, snapshot.id, SnapshotStatus(snapshot.status), to, error=error)
        notifications.of_snapshot(tx, work.operation, snapshot, "reset_status.end", to)

    def fail(self, tx: Connection, work: SnapshotWork, error: Json) -> PoolChange | None:
        return None

    def ended(self, work: SnapshotWork, state: str) -> None:
        """Nothing to tell: no capacity has changed."""


def _missing(resource_type: str, resource_id: str, host: str) -> Json:
    message = f"{host} was asked: the data of {resource_type} {resource_id} is missing there, or smaller than its size"
    return {"type": "DataMissing", "message": message}

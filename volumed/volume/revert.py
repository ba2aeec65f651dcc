"""``volume.revert``: a volume's data become those of its latest snapshot.

There is no way back from its first step: it is tried again until it is done, or ends ``error``. Killed anywhere, the
volume has its old data or the snapshot's, never a mixture; the snapshot stays.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import snapshots, volumes
from volumed.driver.interface import Reverts
from volumed.model.errors import Cancelled, RevertUnsupported
from volumed.model.records import Json, Operation
from volumed.model.states import SnapshotStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.locks import Claims
from volumed.operations.procedure import OneWay, PoolChange
from volumed.volume.backend import Backend, snapshot_ref, volume_ref
from volumed.volume.capabilities import Reporter
from volumed.volume.exports import lock_of, settle
from volumed.volume.flatten import flatten_lock
from volumed.volume.work import SnapshotWork

#: With these nothing was changed.
_UNTOUCHED = frozenset({Cancelled.__name__, RevertUnsupported.__name__})


@dataclass(frozen=True)
class Unexport(OneWay):
    """Take the target away: it may hold on to the data that is replaced."""

    backend: Backend
    name: str = "unexport"

    def do(self, work: SnapshotWork) -> None:
        self.backend.driver.remove_export(volume_ref(work.volume))


@dataclass(frozen=True)
class Revert(OneWay):
    """Make the volume's data the snapshot's; done again, they are the same."""

    backend: Backend
    name: str = "revert"

    def do(self, work: SnapshotWork) -> None:
        driver = self.backend.driver
        if not isinstance(driver, Reverts):
            raise RevertUnsupported(backend=self.backend.host, what=f"volume {work.volume.id}")
        work.facts = driver.revert(volume_ref(work.volume), snapshot_ref(work.snapshot, work.volume), work.progress)


@dataclass(frozen=True)
class Export(OneWay):
    """Make the target again where volumes are exported from their creation on; nobody may log in yet."""

    backend: Backend
    name: str = "export"

    def do(self, work: SnapshotWork) -> None:
        if self.backend.export_on_create:
            settle(self.backend, work.volume)


class RevertVolume:
    """See the module."""

    kind = "volume.revert"
    no_return: str | None = "unexport"
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter) -> None:
        self._backend = backend
        self._reporter = reporter
        self.steps = (Unexport(backend), Revert(backend), Export(backend))

    def prepare(self, operation: Operation) -> SnapshotWork:
        with self._backend.database.reading() as tx:
            return SnapshotWork(
                operation=operation,
                volume=volumes.get(tx, operation.volume_id),
                snapshot=snapshots.get(tx, operation.args["snapshot_id"]),
            )

    def locks(self, work: SnapshotWork) -> Claims:
        volume_id = work.volume.id
        # What is just being made independent of its source must not change under that: the end of it is waited for.
        exclusive = [volume_id, lock_of(volume_id), flatten_lock(volume_id)]
        return Claims(exclusive=exclusive, shared=[work.snapshot.id])

    def succeed(self, tx: Connection, work: SnapshotWork) -> None:
        self._end(tx, work, VolumeStatus.AVAILABLE, None, facts=work.facts)

    def fail(self, tx: Connection, work: SnapshotWork, error: Json) -> PoolChange | None:
        if error["type"] in _UNTOUCHED:
            self._end(tx, work, VolumeStatus.AVAILABLE, error)
        else:
            self._end(tx, work, VolumeStatus.ERROR, error, error=error)
        return None

    def _end(self, tx: Connection, work: SnapshotWork, to: VolumeStatus, reason: Json | None, **values: Json) -> None:
        """``reason``: why it is not reverted; ``values``: what changes of the volume with its status."""
        suffix, told = ("revert.end", {}) if reason is None else ("revert.error", {"error": reason})
        volumes.move(tx, work.volume.id, VolumeStatus.REVERTING, to, **values)
        snapshots.move(tx, work.snapshot.id, SnapshotStatus.RESTORING, SnapshotStatus.AVAILABLE)
        notifications.of_volume(tx, work.operation, work.volume, suffix, to, **told)
        notifications.of_snapshot(tx, work.operation, work.snapshot, suffix, SnapshotStatus.AVAILABLE, **told)

    def ended(self, work: SnapshotWork, state: str) -> None:
        self._reporter.changed()

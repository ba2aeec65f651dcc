"""``snapshot.manage``: what others made on the backend becomes a snapshot of a volume; as ``volume.manage``."""

from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import snapshots, volumes
from volumed.model.records import Json, Operation
from volumed.model.states import SnapshotStatus
from volumed.operations import notifications
from volumed.operations.locks import Claims
from volumed.operations.procedure import PoolChange
from volumed.volume.backend import Backend, snapshot_ref
from volumed.volume.capabilities import Reporter
from volumed.volume.manage import is_untouched
from volumed.volume.manageable import able
from volumed.volume.work import SnapshotWork


@dataclass(kw_only=True)
class ManageSnapshotWork(SnapshotWork):
    """As ``ManageWork``."""

    begun: bool = False
    given_back: bool = False


@dataclass(frozen=True)
class TakeOver:
    """Take the thing over; its name is derived from the snapshot's id, so a repeat finds it."""

    backend: Backend
    name: str = "take_over"

    def do(self, work: ManageSnapshotWork) -> None:
        work.begun = True
        driver, reference = able(self.backend.driver, self.backend.host), work.operation.args["reference"]
        work.facts = driver.manage_snapshot(snapshot_ref(work.snapshot, work.volume), reference)

    def undo(self, work: ManageSnapshotWork) -> None:
        able(self.backend.driver, self.backend.host).unmanage_snapshot(snapshot_ref(work.snapshot, work.volume))
        work.given_back = True


class ManageSnapshot:
    """See the module."""

    kind = "snapshot.manage"
    no_return: str | None = None
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter) -> None:
        self._backend = backend
        self._reporter = reporter
        self.steps = (TakeOver(backend),)

    def prepare(self, operation: Operation) -> ManageSnapshotWork:
        with self._backend.database.reading() as tx:
            return ManageSnapshotWork(
                operation=operation,
                volume=volumes.get(tx, operation.volume_id),
                snapshot=snapshots.get(tx, operation.resource_id),
            )

    def locks(self, work: ManageSnapshotWork) -> Claims:
        return Claims(exclusive=[work.snapshot.id], shared=[work.volume.id])

    def succeed(self, tx: Connection, work: ManageSnapshotWork) -> None:
        snapshot, to = work.snapshot, SnapshotStatus.AVAILABLE
        snapshots.move(tx, snapshot.id, SnapshotStatus.MANAGING, to, facts=work.facts, error=None)
        notifications.of_snapshot(tx, work.operation, snapshot, "manage_existing_snapshot.end", to)

    def fail(self, tx: Connection, work: ManageSnapshotWork, error: Json) -> PoolChange | None:
        as_before = work.given_back or is_untouched(work.operation, work.begun)
        to = SnapshotStatus.ERROR_MANAGING if as_before else SnapshotStatus.ERROR_UNMANAGING
        snapshots.move(tx, work.snapshot.id, SnapshotStatus.MANAGING, to, error=error)
        notifications.of_snapshot(tx, work.operation, work.snapshot, "manage_existing_snapshot.error", to, error=error)
        return None

    def ended(self, work: ManageSnapshotWork, state: str) -> None:
        self._reporter.changed()

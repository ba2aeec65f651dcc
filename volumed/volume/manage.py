"""``volume.manage``: what others made on the backend becomes a volume, with its data as they are.

Everything can be undone until the end: what was taken over is called again what it was called before. Where that could
not be done in time the volume stays where it is, ``error_unmanaging``: it is never taken for something to be removed.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import volumes
from volumed.db.clock import now
from volumed.model.records import Json, Operation
from volumed.model.states import VolumeStatus
from volumed.operations import notifications
from volumed.operations.locks import Claims
from volumed.operations.procedure import PoolChange
from volumed.volume.backend import Backend, volume_ref
from volumed.volume.capabilities import Reporter
from volumed.volume.create import Export
from volumed.volume.exports import lock_of
from volumed.volume.manageable import able
from volumed.volume.work import VolumeWork


@dataclass(kw_only=True)
class ManageWork(VolumeWork):
    """Beside the volume, what became of the thing: ``begun``: something may have been done to it since the claim."""

    begun: bool = False
    given_back: bool = False

    @property
    def is_as_before(self) -> bool:
        """Whether the thing is certainly as it was before the operation."""
        return self.given_back or is_untouched(self.operation, self.begun)


def is_untouched(operation: Operation, begun: bool) -> bool:
    """Whether no claim of the operation ever began a step; ``begun``: of the present one."""
    return not begun and operation.claims <= 1 and not operation.timeline


@dataclass(frozen=True)
class TakeOver:
    """Take the thing over; its name is derived from the volume's id, so a repeat finds it."""

    backend: Backend
    name: str = "take_over"

    def do(self, work: ManageWork) -> None:
        work.begun = True
        driver, reference = able(self.backend.driver, self.backend.host), work.operation.args["reference"]
        work.facts = driver.manage(volume_ref(work.volume), reference)

    def undo(self, work: ManageWork) -> None:
        able(self.backend.driver, self.backend.host).unmanage(volume_ref(work.volume))
        work.given_back = True


class ManageVolume:
    """See the module."""

    kind = "volume.manage"
    no_return: str | None = None
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter) -> None:
        self._backend = backend
        self._reporter = reporter
        self.steps = (TakeOver(backend), Export(backend))

    def prepare(self, operation: Operation) -> ManageWork:
        with self._backend.database.reading() as tx:
            return ManageWork(operation=operation, volume=volumes.get(tx, operation.volume_id))

    def locks(self, work: ManageWork) -> Claims:
        return Claims(exclusive=[work.volume.id, lock_of(work.volume.id)])

    def succeed(self, tx: Connection, work: ManageWork) -> None:
        volumes.move(
            tx,
            work.volume.id,
            VolumeStatus.MANAGING,
            VolumeStatus.AVAILABLE,
            facts=work.facts,
            error=None,
            launched_at=now(),
        )
        notifications.of_volume(tx, work.operation, work.volume, "manage_existing.end", VolumeStatus.AVAILABLE)

    def fail(self, tx: Connection, work: ManageWork, error: Json) -> PoolChange | None:
        """The quota stays spent until the volume is deleted, as that of a create that failed."""
        volume, to = work.volume, VolumeStatus.ERROR_UNMANAGING
        change = None
        if work.is_as_before:
            to = VolumeStatus.ERROR_MANAGING
            volumes.move(tx, volume.id, VolumeStatus.MANAGING, to, error=error, host=None, storage_id=None)
            change = PoolChange(volume.storage_id, -volume.size, -1) if volume.storage_id else None
        else:
            volumes.move(tx, volume.id, VolumeStatus.MANAGING, to, error=error)
        notifications.of_volume(tx, work.operation, volume, "manage_existing.error", to, error=error)
        return change

    def ended(self, work: ManageWork, state: str) -> None:
        self._reporter.changed()

"""``volume.extend``: grown to a new size. Growing is the point of no return: a volume never shrinks again."""

from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import quotas, volume_types, volumes
from volumed.model import quota_use
from volumed.model.errors import Cancelled
from volumed.model.records import Json, Operation
from volumed.model.states import VolumeStatus
from volumed.operations import notifications
from volumed.operations.locks import Claims
from volumed.operations.procedure import OneWay, PoolChange
from volumed.volume.backend import Backend, volume_ref
from volumed.volume.capabilities import Reporter
from volumed.volume.exports import lock_of, settle
from volumed.volume.work import VolumeWork, read_volume


@dataclass(frozen=True)
class Grow(OneWay):
    """Grow the volume, and its target where it has one; having the size already is fine."""

    backend: Backend
    name: str = "grow"

    def do(self, work: VolumeWork) -> None:
        self.backend.driver.extend(volume_ref(work.volume), work.operation.args["new_size"])
        if self.backend.export_on_create:
            settle(self.backend, work.volume)


class ExtendVolume:
    """See the module."""

    kind = "volume.extend"
    no_return: str | None = "grow"
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter) -> None:
        self._backend = backend
        self._reporter = reporter
        self.steps = (Grow(backend),)

    def prepare(self, operation: Operation) -> VolumeWork:
        return read_volume(self._backend, operation)

    def locks(self, work: VolumeWork) -> Claims:
        return Claims(exclusive=[work.volume.id, lock_of(work.volume.id)])

    def succeed(self, tx: Connection, work: VolumeWork) -> PoolChange | None:
        size = work.operation.args["new_size"]
        volumes.move(tx, work.volume.id, VolumeStatus.EXTENDING, VolumeStatus.AVAILABLE, size=size, error=None)
        notifications.of_volume(tx, work.operation, work.volume, "resize.end", VolumeStatus.AVAILABLE, size=size)
        if work.volume.storage_id is None:
            return None
        return PoolChange(work.volume.storage_id, size - work.volume.size, 0)

    def fail(self, tx: Connection, work: VolumeWork, error: Json) -> PoolChange | None:
        """Quota is given back. Only one that was not begun is ever cancelled: its volume is as it was."""
        volume = work.volume
        more = quota_use.of_gigabytes(
            work.operation.args["new_size"] - volume.size, volume_types.name_of(tx, volume.volume_type_id)
        )
        quotas.adjust(tx, volume.project_id, quota_use.negative(more))
        cancelled = error["type"] == Cancelled.__name__
        to = VolumeStatus.AVAILABLE if cancelled else VolumeStatus.ERROR_EXTENDING
        volumes.move(tx, volume.id, VolumeStatus.EXTENDING, to, error=None if cancelled else error)
        notifications.of_volume(tx, work.operation, volume, "resize.error", to, error=error)
        return None

    def ended(self, work: VolumeWork, state: str) -> None:
        self._reporter.changed()

"""``volume.extend``: grown to a new size. Growing is the point of no return: a volume never shrinks again.

Where somebody is let in, he stays in and sees the new size. What becomes of the volume's status follows from the
attachments that it has at the end: detaches go on meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import attachments, quotas, volume_types, volumes
from volumed.model import quota_use
from volumed.model.errors import BackendHeld, Cancelled, ExtendInUseUnsupported, SecretUnreadable
from volumed.model.records import Json, Operation
from volumed.model.states import OperationState, VolumeStatus
from volumed.operations import notifications
from volumed.operations.locks import Claims
from volumed.operations.procedure import OneWay, PoolChange
from volumed.volume.backend import Backend, volume_ref
from volumed.volume.capabilities import Reporter
from volumed.volume.exports import lock_of, settle
from volumed.volume.work import VolumeWork, read_volume

#: With these nothing was changed.
_UNTOUCHED = frozenset(error.__name__ for error in (Cancelled, ExtendInUseUnsupported, SecretUnreadable, BackendHeld))


@dataclass(frozen=True)
class Grow(OneWay):
    """Grow the volume, and its target where it has one; having the size already is fine.

    A target that nobody may use is taken away first, for it may hold on to the volume: LVM must deactivate a thick
    one that has snapshots. Killed between, the repeat makes it again.
    """

    backend: Backend
    name: str = "grow"

    def do(self, work: VolumeWork) -> None:
        backend, volume = self.backend, volume_ref(work.volume)
        is_reachable = bool(backend.accesses_to(volume.id))
        if is_reachable and not backend.extends_in_use:
            raise ExtendInUseUnsupported(backend=backend.host, what=f"volume {volume.id}")
        if backend.export_on_create and not is_reachable:
            backend.driver.remove_export(volume)
        backend.driver.extend(volume, work.operation.args["new_size"], work.progress)
        if backend.export_on_create or is_reachable:
            settle(backend, work.volume)


class ExtendVolume:
    """See the module."""

    kind = "volume.extend"
    no_return: str | None = "grow"
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter, unsettle: Callable[[], None]) -> None:
        """``unsettle`` asks for the exports to be compared with the rows soon."""
        self._backend = backend
        self._reporter = reporter
        self._unsettle = unsettle
        self.steps = (Grow(backend),)

    def prepare(self, operation: Operation) -> VolumeWork:
        return read_volume(self._backend, operation)

    def locks(self, work: VolumeWork) -> Claims:
        return Claims(exclusive=[work.volume.id, lock_of(work.volume.id)])

    def succeed(self, tx: Connection, work: VolumeWork) -> PoolChange | None:
        size = work.operation.args["new_size"]
        volumes.touch(tx, work.volume.id)
        to = attachments.status_of_volume(tx, work.volume.id)
        volumes.move(tx, work.volume.id, VolumeStatus.EXTENDING, to, size=size, error=None)
        notifications.of_volume(tx, work.operation, work.volume, "resize.end", to, size=size)
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
        volumes.touch(tx, volume.id)
        # One that is done again may be half done since then.
        is_whole = error["type"] in _UNTOUCHED and not work.operation.args.get("again")
        to = attachments.status_of_volume(tx, volume.id) if is_whole else VolumeStatus.ERROR_EXTENDING
        volumes.move(tx, volume.id, VolumeStatus.EXTENDING, to, error=None if is_whole else error)
        notifications.of_volume(tx, work.operation, volume, "resize.error", to, error=error)
        return None

    def ended(self, work: VolumeWork, state: str) -> None:
        """One that failed may have taken an export away that its backend keeps from a volume's creation on."""
        self._reporter.changed()
        if state == OperationState.FAILED:
            self._unsettle()

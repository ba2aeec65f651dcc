"""``cleanup``: removes what the undo of a create could not remove in time, once the backend is well again.

The request that left it went on long ago; only the storage's allocation waits for this.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from volumed.db import volumes
from volumed.driver.interface import VolumeRef
from volumed.model.host import is_placed_at, pool_of
from volumed.model.records import Json, Operation
from volumed.operations.locks import Claims
from volumed.operations.procedure import OneWay, PoolChange
from volumed.volume.backend import Backend
from volumed.volume.capabilities import Reporter
from volumed.volume.exports import lock_of
from volumed.volume.purge import Remainders
from volumed.volume.work import Left


@dataclass(kw_only=True)
class CleanupWork(Left):
    operation: Operation
    volume: VolumeRef
    progress: Any = None


@dataclass(frozen=True)
class RemoveLeftover(OneWay):
    """Remove the half-made volume and its export; nothing left is fine.

    Unless the volume has come back, here or by another service of the same storage: then it is what a later attempt
    makes, or has made, of what was left. Whoever makes it here holds the volume's lock, too; elsewhere nobody makes it
    before this has ended.
    """

    backend: Backend
    name: str = "remove"

    def do(self, work: CleanupWork) -> None:
        with self.backend.database.reading() as tx:
            volume = volumes.find(tx, work.volume.id)
        storage_id = work.operation.args.get("storage_id")
        if volume is not None and is_placed_at(volume, self.backend.host, storage_id):
            return
        self.backend.driver.remove_export(work.volume)
        work.remains = self.backend.driver.delete(work.volume)


class Cleanup:
    """See the module."""

    kind = "cleanup"
    no_return: str | None = "remove"
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter, remainders: Remainders) -> None:
        self._reporter = reporter
        self._remainders = remainders
        self.steps = (RemoveLeftover(backend),)

    def prepare(self, operation: Operation) -> CleanupWork:
        args = operation.args
        left = VolumeRef(id=operation.volume_id, size=args["size"], pool=pool_of(args["host"] or "") or "")
        return CleanupWork(operation=operation, volume=left)

    def locks(self, work: CleanupWork) -> Claims:
        return Claims(exclusive=[work.volume.id, lock_of(work.volume.id)])

    def succeed(self, tx: Connection, work: CleanupWork) -> PoolChange | None:
        storage_id = work.operation.args.get("storage_id")
        return self._remainders.free(tx, work.operation, work, work.volume, storage_id)

    def fail(self, tx: Connection, work: CleanupWork, error: Json) -> PoolChange | None:
        return None  # the allocation stays: the leftover is still there

    def ended(self, work: CleanupWork, state: str) -> None:
        self._reporter.changed()
        self._remainders.begin(work)

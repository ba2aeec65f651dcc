"""``volume.purge``: frees what a delete left of a volume: an image in the trash, a quarantined volume to be wiped.

The request that left it has ended, and its quota is free, unless ``[quota] count_until_purged`` says otherwise; the
storage's allocation waits for this. It is tried for as long as it takes: what cannot go yet (a clone lives on it) goes
later, without anyone asking.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from sqlalchemy import Connection

from volumed.db import quotas
from volumed.db.operations import NewOperation
from volumed.driver.interface import Purges, VolumeRef
from volumed.model import quota_use
from volumed.model.records import Json, Operation
from volumed.operations import remains
from volumed.operations.locks import Claims
from volumed.operations.procedure import OneWay, PoolChange
from volumed.volume.backend import Backend
from volumed.volume.capabilities import Reporter
from volumed.volume.work import Left, no_progress


@dataclass
class PurgeWork:
    operation: Operation
    volume: VolumeRef
    progress: Callable[[int, int], None] = field(default=no_progress)


@dataclass(frozen=True)
class Purge(OneWay):
    """Free what is left; nothing left is fine."""

    backend: Backend
    name: str = "purge"

    def do(self, work: PurgeWork) -> None:
        cast(Purges, self.backend.driver).purge(work.volume, work.progress)


class PurgeVolume:
    """See the module."""

    kind = remains.PURGE
    no_return: str | None = "purge"
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter) -> None:
        self._reporter = reporter
        self.steps = (Purge(backend),)

    def prepare(self, operation: Operation) -> PurgeWork:
        args = operation.args
        return PurgeWork(operation, VolumeRef(operation.volume_id, args["size"], args["pool"], args["facts"]))

    def locks(self, work: PurgeWork) -> Claims:
        return Claims(exclusive=[remains.purge_lock(work.volume.id)])

    def succeed(self, tx: Connection, work: PurgeWork) -> PoolChange | None:
        _give_back(tx, work.operation)
        storage_id = work.operation.args["storage_id"]
        return PoolChange(storage_id, -work.volume.size, -1) if storage_id else None

    def fail(self, tx: Connection, work: PurgeWork, error: Json) -> PoolChange | None:
        _give_back(tx, work.operation)  # nobody is to pay for what a lost service has left
        return None  # the allocation stays: the remains are still there

    def ended(self, work: PurgeWork, state: str) -> None:
        self._reporter.changed()


class Remainders:
    """Sees to what the deletes of a backend leave. ``wake`` runs an operation that was just queued."""

    def __init__(self, wake: Callable[[NewOperation], None]) -> None:
        self._wake = wake

    def free(
        self,
        tx: Connection,
        operation: Operation,
        left: Left,
        volume: VolumeRef,
        storage_id: str | None,
        quota: Json | None = None,
    ) -> PoolChange | None:
        """What the end of a delete gives back of ``storage_id``: nothing yet where a purge must first free it.

        ``quota``: ``use`` of ``project_id`` that the purge gives back as well.
        """
        left.purge = None
        if left.remains is None:
            return PoolChange(storage_id, -volume.size, -1) if storage_id else None
        args = remains.arguments(volume.pool, volume.size, volume.facts, storage_id, left.remains.detail, quota)
        left.purge = remains.queue_purge(tx, operation, volume.id, operation.queue, args)
        return None

    def begin(self, left: Left) -> None:
        """Let the purge begin, now that the delete has ended; after a crash before it the next look does."""
        if left.purge is not None:
            self._wake(left.purge)


def _give_back(tx: Connection, operation: Operation) -> None:
    if quota := operation.args.get("quota"):
        quotas.adjust(tx, quota["project_id"], quota_use.negative(quota["use"]))

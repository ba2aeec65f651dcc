"""Operations for messages that come without one: another API tier on the same database writes only the resource.

Finds the live operation of the resource, or makes the one that its status asks for, with the quota and the allocation
that our own API and scheduler would have counted: so a recount always agrees.
"""

import logging
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from volumed.db import attachments, operations, placements, pools, quotas, services, snapshots, volume_types, volumes
from volumed.db.engine import Database
from volumed.db.operations import NewOperation
from volumed.driver.interface import PoolCapabilities
from volumed.model import quota_use
from volumed.model.context import RequestContext
from volumed.model.errors import Cancelled, HasDependents, InvalidField, InvalidStatus
from volumed.model.host import place, pool_of
from volumed.model.records import Json, Snapshot, Volume
from volumed.model.requests import Answer, judge
from volumed.model.states import SnapshotStatus, VolumeStatus

LOG = logging.getLogger(__name__)


class Adoption:
    """Makes operations on ``queue`` (``host@backend``); ``measure`` gives the backend's pools."""

    def __init__(
        self,
        database: Database,
        queue: str,
        measure: Callable[[], tuple[PoolCapabilities, ...]],
        count_snapshot_gigabytes: bool,
    ) -> None:
        self._database = database
        self._queue = queue
        self._measure = measure
        self._count_snapshot_gigabytes = count_snapshot_gigabytes

    def create(self, context: RequestContext, volume_id: str) -> str:
        """The create of a volume that was placed here. Raises ``InvalidStatus`` when it is not ``creating``."""
        return self._find_or_make(volume_id, self._make_create, context, volume_id, self._measure())

    def delete(self, context: RequestContext, volume_id: str) -> str:
        """The delete of a volume. Raises ``InvalidStatus`` or ``BusyResource`` when it may not be deleted."""
        return self._find_or_make(volume_id, self._make_delete, context, volume_id)

    def extend(self, context: RequestContext, volume_id: str, new_size: object) -> str:
        """The extend of a volume to ``new_size`` GiB.

        Raises ``InvalidField`` for a size that is not larger, ``Invalid`` for an attached volume whose backend cannot.
        """
        return self._find_or_make(volume_id, self._make_extend, context, volume_id, new_size)

    def create_snapshot(self, context: RequestContext, snapshot_id: str) -> str:
        """The create of a snapshot. Raises ``InvalidStatus`` when it is not ``creating``."""
        return self._find_or_make(snapshot_id, self._make_create_snapshot, context, snapshot_id)

    def delete_snapshot(self, context: RequestContext, snapshot_id: str) -> str:
        """The delete of a snapshot. Raises ``InvalidStatus`` or ``BusyResource``."""
        return self._find_or_make(snapshot_id, self._make_delete_snapshot, context, snapshot_id)

    def lost(self, age: float) -> list[str]:
        """Operations for volumes that are in transit here for ``age`` seconds without one: their cast was lost."""
        with self._database.reading() as tx:
            found = volumes.in_transit_without_operation(tx, self._queue, age)
        return [operation for volume in found if (operation := self._of_lost(volume)) is not None]

    def _of_lost(self, volume: Volume) -> str | None:
        context = RequestContext(volume.user_id, volume.project_id, False, f"req-{uuid.uuid4()}")
        if volume.status == VolumeStatus.CREATING:
            return self.create(context, volume.id)
        if volume.status == VolumeStatus.DELETING:
            return self.delete(context, volume.id)
        # Nobody knows the size that was asked for: what the backend has is kept.
        with_size = self._database.write(self._give_up_extend, volume)
        LOG.warning("extend of volume %s was lost with its message; it keeps %d GiB", volume.id, with_size)
        return None

    def _give_up_extend(self, tx: Connection, volume: Volume) -> int:
        volumes.touch(tx, volume.id)
        volumes.move(tx, volume.id, VolumeStatus.EXTENDING, attachments.status_of_volume(tx, volume.id))
        return volume.size

    def _find_or_make(self, resource_id: str, make: Callable[..., NewOperation], *arguments: Any) -> str:
        try:
            return self._database.write(self._in_one_transaction, resource_id, make, *arguments)
        except IntegrityError:  # the same message twice at once: the other one made it
            with self._database.reading() as tx:
                live = operations.live_on(tx, resource_id)
            if live is None:
                raise
            return live.id

    def _in_one_transaction(
        self, tx: Connection, resource_id: str, make: Callable[..., NewOperation], *arguments: Any
    ) -> str:
        live = operations.live_on(tx, resource_id)
        if live is not None:
            return live.id
        made = make(tx, *arguments)
        operations.add(tx, made)
        return made.id

    def _new(
        self, context: RequestContext, kind: str, volume_id: str, resource: Volume | Snapshot, **more: Any
    ) -> NewOperation:
        """An operation of the resource's project, whoever asked: its owner may see what becomes of it."""
        return NewOperation(
            id=str(uuid.uuid4()),
            kind=kind,
            resource_type=kind.partition(".")[0],
            resource_id=resource.id,
            volume_id=volume_id,
            project_id=resource.project_id,
            user_id=context.user_id,
            request_id=context.request_id,
            queue=self._queue,
            **more,
        )

    def _make_create(
        self, tx: Connection, context: RequestContext, volume_id: str, found: tuple[PoolCapabilities, ...]
    ) -> NewOperation:
        volumes.touch(tx, volume_id)
        volume = volumes.get(tx, volume_id)
        _must_be("volume", volume_id, volume.status, VolumeStatus.CREATING)
        quotas.adjust(
            tx, volume.project_id, quota_use.of_volume(volume.size, volume_types.name_of(tx, volume.volume_type_id))
        )
        pool = _pool_for(volume, found)
        volumes.change(tx, volume_id, host=place(self._queue, pool.name), storage_id=pool.storage_id)
        if volume.storage_id is None:
            pools.ensure(tx, pool.storage_id)
            pools.adjust(tx, pool.storage_id, volume.size, 1)
        source = volume.snapshot_id or volume.source_volid
        return self._new(
            context,
            "volume.create",
            volume_id,
            volume,
            source_id=source,
            lane="long" if source else "short",
            args=placements.create_arguments(tx, volume) | {"host_given": True},
        )

    def _make_delete(self, tx: Connection, context: RequestContext, volume_id: str) -> NewOperation:
        volumes.touch(tx, volume_id)
        volume = volumes.get(tx, volume_id)
        operations.refuse_if_held(tx, "volume", volume_id)
        if judge("volume", volume_id, "delete", volume.status) is Answer.RUN:
            if found := attachments.of_volume(tx, volume_id):
                dependents = f"{len(found)} attachments"
                raise HasDependents(resource_type="volume", resource_id=volume_id, dependents=dependents)
            volumes.move(tx, volume_id, VolumeStatus(volume.status), VolumeStatus.DELETING)
        if (flatten := operations.flatten_of(tx, volume_id)) is not None:
            error = Cancelled(user_id=context.user_id, request_id=context.request_id).as_record()
            operations.request_cancel(tx, flatten.id, error)  # the delete waits for its lock
        return self._new(context, "volume.delete", volume_id, volume, args={"cascade": False, "force": False})

    def _make_extend(self, tx: Connection, context: RequestContext, volume_id: str, new_size: object) -> NewOperation:
        volumes.touch(tx, volume_id)
        volume = volumes.get(tx, volume_id)
        if not isinstance(new_size, int) or isinstance(new_size, bool) or new_size <= volume.size:
            raise InvalidField(field="new_size", reason=f"{new_size!r} is not a whole number above {volume.size} GiB")
        if volume.status != VolumeStatus.EXTENDING:
            judge("volume", volume_id, "extend_online", volume.status)
            if volume.status == VolumeStatus.IN_USE:
                services.refuse_to_extend_in_use(tx, volume)
            operations.refuse_if_held(tx, "volume", volume_id)
            volumes.move(tx, volume_id, VolumeStatus(volume.status), VolumeStatus.EXTENDING)
        more = quota_use.of_gigabytes(new_size - volume.size, volume_types.name_of(tx, volume.volume_type_id))
        quotas.adjust(tx, volume.project_id, more)
        args: Json = {"new_size": new_size, "old_size": volume.size}
        return self._new(context, "volume.extend", volume_id, volume, args=args)

    def _make_create_snapshot(self, tx: Connection, context: RequestContext, snapshot_id: str) -> NewOperation:
        snapshots.touch(tx, snapshot_id)
        snapshot = snapshots.get(tx, snapshot_id)
        _must_be("snapshot", snapshot_id, snapshot.status, SnapshotStatus.CREATING)
        type_name = volume_types.name_of(tx, snapshot.volume_type_id)
        use = quota_use.of_snapshot(snapshot.size, type_name, self._count_snapshot_gigabytes)
        quotas.adjust(tx, snapshot.project_id, use)
        return self._new(
            context, "snapshot.create", snapshot.volume_id, snapshot, source_id=snapshot.volume_id, lane="long"
        )

    def _make_delete_snapshot(self, tx: Connection, context: RequestContext, snapshot_id: str) -> NewOperation:
        snapshots.touch(tx, snapshot_id)
        snapshot = snapshots.get(tx, snapshot_id)
        operations.refuse_if_held(tx, "snapshot", snapshot_id)
        if judge("snapshot", snapshot_id, "delete", snapshot.status) is Answer.RUN:
            snapshots.move(tx, snapshot_id, SnapshotStatus(snapshot.status), SnapshotStatus.DELETING)
        return self._new(context, "snapshot.delete", snapshot.volume_id, snapshot, source_id=snapshot.volume_id)


def _must_be(resource_type: str, resource_id: str, status: str, wanted: str) -> None:
    if status != wanted:
        raise InvalidStatus(resource_type=resource_type, resource_id=resource_id, allowed=wanted, status=status)


def _pool_for(volume: Volume, found: tuple[PoolCapabilities, ...]) -> PoolCapabilities:
    named = pool_of(volume.host or "")
    return next((pool for pool in found if pool.name == named), found[0])

"""What a request to revert a volume to its latest snapshot writes, in one transaction."""

from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.api.accept.new_operations import on_volume
from volumed.api.accept.transaction import enqueue
from volumed.api.accept.volumes import Accepted, project_of
from volumed.db import operations, snapshots, volumes
from volumed.model.context import RequestContext
from volumed.model.errors import BusyResource, Conflict, Invalid, InvalidStatus
from volumed.model.records import Snapshot, Volume
from volumed.model.requests import judge
from volumed.model.states import SnapshotStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.notifications import Request


@dataclass(frozen=True, slots=True)
class Reversion:
    """``again``: it failed before."""

    volume_id: str
    snapshot_id: str
    operation_id: str
    again: bool = False


def revert(tx: Connection, caller: RequestContext, asked: Reversion) -> Accepted:
    """Accept the revert: the volume is ``reverting``, its snapshot ``restoring``.

    Raises ``Invalid`` for a snapshot that is not the volume's latest, ``Conflict`` in any other status than
    ``available`` and while something holds one of the two.
    Source: the Block Storage API's "Revert volume to snapshot", which answers these with 400 and 409.
    """
    volume, snapshot = _taken(tx, caller, asked)
    try:
        judge("volume", volume.id, "revert_again" if asked.again else "revert", volume.status)
        judge("snapshot", snapshot.id, "revert", snapshot.status)
        operations.refuse_if_held(tx, "volume", volume.id)
        operations.refuse_if_held(tx, "snapshot", snapshot.id)
    except (InvalidStatus, BusyResource) as refusal:
        raise Conflict(reason=str(refusal)) from refusal
    if volume.host is None:
        raise Conflict(reason=f"Invalid volume: volume {volume.id} is on no backend, so it can only be deleted.")
    volumes.move(tx, volume.id, VolumeStatus(volume.status), VolumeStatus.REVERTING, error=None)
    snapshots.move(tx, snapshot.id, SnapshotStatus(snapshot.status), SnapshotStatus.RESTORING)
    args = {"snapshot_id": snapshot.id}
    new = on_volume("volume.revert", caller, asked.operation_id, volume, args, lane="long", source_id=snapshot.id)
    enqueue(tx, new)
    cause = Request(asked.operation_id, caller.request_id)
    notifications.of_volume(tx, cause, volume, "revert.start", VolumeStatus.REVERTING)
    notifications.of_snapshot(tx, cause, snapshot, "revert.start", SnapshotStatus.RESTORING)
    return Accepted(asked.operation_id, volume.host)


def _taken(tx: Connection, caller: RequestContext, asked: Reversion) -> tuple[Volume, Snapshot]:
    volumes.get(tx, asked.volume_id, project_of(caller))
    volumes.touch(tx, asked.volume_id)
    snapshots.get(tx, asked.snapshot_id, project_of(caller))
    snapshots.touch(tx, asked.snapshot_id)
    volume, snapshot = volumes.get(tx, asked.volume_id), snapshots.get(tx, asked.snapshot_id)
    if snapshot.volume_id != volume.id:
        raise Invalid(reason=f"Invalid snapshot: snapshot {snapshot.id} is not of volume {volume.id}.")
    latest = max(snapshots.of_volume(tx, volume.id), key=lambda each: (each.created_at, each.id))
    if latest.id != snapshot.id:
        raise Invalid(
            reason=f"Invalid snapshot: snapshot {snapshot.id} is not the latest one of volume {volume.id}; "
            f"that is {latest.id}."
        )
    return volume, snapshot

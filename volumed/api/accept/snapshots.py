"""What the requests to take and delete a snapshot write, each in one transaction."""

from dataclasses import dataclass, field

from sqlalchemy import Connection

from volumed.api.accept.new_operations import on_snapshot
from volumed.api.accept.transaction import enqueue
from volumed.api.accept.volumes import Accepted, joined, project_of
from volumed.api.settings import Settings
from volumed.db import operations, quotas, snapshots, volume_types, volumes
from volumed.model import quota_use
from volumed.model.context import RequestContext
from volumed.model.errors import Invalid, InvalidStatus, SetByAdministrator
from volumed.model.records import Snapshot, Volume
from volumed.model.requests import Answer, judge
from volumed.model.states import SnapshotStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.notifications import Request


@dataclass(frozen=True, slots=True)
class NewSnapshot:
    """A snapshot as it is asked for. ``in_use_too``: also of a volume that somebody may be writing to."""

    id: str
    operation_id: str
    volume_id: str
    in_use_too: bool
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def create(tx: Connection, caller: RequestContext, settings: Settings, new: NewSnapshot) -> tuple[Snapshot, str | None]:
    """Accept a snapshot: it is ``creating``, and its operation waits on the volume's backend. Returns that, too."""
    known = volumes.get(tx, new.volume_id, project_of(caller))
    _judge(known, new)
    kind = volume_types.name_of(tx, known.volume_type_id)
    use = quota_use.of_snapshot(known.size, kind, settings.count_snapshot_gigabytes)
    quotas.change(tx, caller.owner, use, settings.quota_defaults)
    volumes.touch(tx, known.id)
    volume = volumes.get(tx, known.id)
    _judge(volume, new)
    if volume.size != known.size:
        raise Invalid(reason=f"Invalid volume: volume {volume.id} was extended at this moment; ask again.")
    operations.refuse_if_on_it(tx, "volume", volume.id)
    snapshots.add(
        tx,
        id=new.id,
        project_id=caller.owner,
        user_id=caller.user_id,
        volume_id=volume.id,
        name=new.name,
        description=new.description,
        size=volume.size,
        status=SnapshotStatus.CREATING,
        volume_type_id=volume.volume_type_id,
        metadata=new.metadata,
        facts={},
    )
    made = snapshots.get(tx, new.id)
    args = {"attached": volume.status == VolumeStatus.IN_USE}
    enqueue(tx, on_snapshot("snapshot.create", caller, new.operation_id, made, volume, args, lane="long"))
    notifications.of_snapshot(tx, Request(new.operation_id, caller.request_id), made, "create.start", made.status)
    return made, volume.host


def _judge(volume: Volume, new: NewSnapshot) -> None:
    judge("volume", volume.id, "snapshot", volume.status)
    if volume.status == VolumeStatus.IN_USE and not new.in_use_too:
        raise InvalidStatus(
            resource_type="volume", resource_id=volume.id, allowed=VolumeStatus.AVAILABLE, status=volume.status
        )


def delete(tx: Connection, caller: RequestContext, snapshot_id: str, operation_id: str) -> Accepted:
    """Accept the delete, or join the one that is under way."""
    snapshot, volume = taken(tx, caller, snapshot_id)
    if judge("snapshot", snapshot.id, "delete", snapshot.status) is Answer.JOIN:
        return joined(tx, snapshot.id, volume.host)
    operations.refuse_if_held(tx, "snapshot", snapshot.id)
    operations.refuse_if_on_it(tx, "volume", volume.id)
    snapshots.move(tx, snapshot.id, SnapshotStatus(snapshot.status), SnapshotStatus.DELETING, error=None)
    enqueue(tx, on_snapshot("snapshot.delete", caller, operation_id, snapshot, volume, {}))
    cause = Request(operation_id, caller.request_id)
    notifications.of_snapshot(tx, cause, snapshot, "delete.start", SnapshotStatus.DELETING)
    return Accepted(operation_id, volume.host)


def create_again(tx: Connection, caller: RequestContext, snapshot_id: str, operation_id: str) -> Accepted:
    """Accept a snapshot that failed once more; its quota is still spent."""
    snapshot, volume = taken(tx, caller, snapshot_id)
    judge("snapshot", snapshot.id, "create_again", snapshot.status)
    judge("volume", volume.id, "snapshot", volume.status)
    operations.refuse_if_held(tx, "snapshot", snapshot.id)
    operations.refuse_if_on_it(tx, "volume", volume.id)
    if volume.size != snapshot.size:
        raise Invalid(reason=f"Invalid snapshot: volume {volume.id} has another size now; take a new snapshot.")
    snapshots.move(tx, snapshot.id, SnapshotStatus.ERROR, SnapshotStatus.CREATING, error=None)
    args = {"attached": volume.status == VolumeStatus.IN_USE}
    enqueue(tx, on_snapshot("snapshot.create", caller, operation_id, snapshot, volume, args, lane="long"))
    cause = Request(operation_id, caller.request_id)
    notifications.of_snapshot(tx, cause, snapshot, "create.start", SnapshotStatus.CREATING)
    return Accepted(operation_id, volume.host)


def reset(tx: Connection, caller: RequestContext, snapshot_id: str, to: SnapshotStatus, operation_id: str) -> Accepted:
    """Where nothing is on its way, ask the backend and set what is true; ``error`` is what the asker says it is."""
    snapshot, volume = taken(tx, caller, snapshot_id)
    operations.refuse_if_held(tx, "snapshot", snapshot_id)
    judge("snapshot", snapshot_id, "reset", snapshot.status)
    if to == SnapshotStatus.ERROR:
        error = SetByAdministrator(user_id=caller.user_id, request_id=caller.request_id).as_record()
        snapshots.move(tx, snapshot_id, SnapshotStatus(snapshot.status), to, error=error)
        return Accepted(None)
    operations.refuse_if_on_it(tx, "volume", volume.id)
    enqueue(tx, on_snapshot("snapshot.reset", caller, operation_id, snapshot, volume, {"status": to}))
    return Accepted(operation_id, volume.host)


def taken(tx: Connection, caller: RequestContext, snapshot_id: str) -> tuple[Snapshot, Volume]:
    """The caller's snapshot and its volume, whose rows are this transaction's from now on. Raises ``NotFound``."""
    known = snapshots.get(tx, snapshot_id, project_of(caller))
    for resource_id, touch in sorted({known.id: snapshots.touch, known.volume_id: volumes.touch}.items()):
        touch(tx, resource_id)
    return snapshots.get(tx, known.id), volumes.get(tx, known.volume_id)

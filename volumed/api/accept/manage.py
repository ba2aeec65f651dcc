"""What the requests to take over what others made, and to give away, write: each in one transaction.

The size was asked of the backend before, so quota and the pool's allocation are right from here on; the operation
refuses what has grown meanwhile.
"""

from dataclasses import dataclass, field

from sqlalchemy import Connection

from volumed.api.accept.new_operations import on_snapshot, on_volume
from volumed.api.accept.snapshots import taken
from volumed.api.accept.transaction import enqueue
from volumed.api.accept.volumes import Accepted, check_size, joined, project_of, type_for
from volumed.api.settings import Settings
from volumed.db import attachments, operations, pools, quotas, snapshots, volume_types, volumes
from volumed.db.volumes import TypedVolume
from volumed.model import quota_use
from volumed.model.context import RequestContext
from volumed.model.errors import HasDependents, Invalid
from volumed.model.records import Json, Snapshot
from volumed.model.requests import Answer, judge
from volumed.model.states import SnapshotStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.notifications import Request


@dataclass(frozen=True, slots=True)
class Found:
    """What the backend says of the thing: its name, GiB, and where it is (``host@backend#pool``)."""

    reference: Json
    size: int
    host: str
    storage_id: str


@dataclass(frozen=True, slots=True)
class ManagedVolume:
    """A volume as it is asked for."""

    id: str
    operation_id: str
    zone: str
    name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    bootable: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


def manage(tx: Connection, caller: RequestContext, settings: Settings, new: ManagedVolume, found: Found) -> TypedVolume:
    """Accept the volume: it is ``managing``, on its backend, and counted."""
    kind = type_for(tx, caller, settings, new.volume_type)
    check_size(found.size, settings, caller.owner, "volume/ref")
    quotas.change(tx, caller.owner, quota_use.of_volume(found.size, kind.name), settings.quota_defaults)
    volumes.add(
        tx,
        id=new.id,
        project_id=caller.owner,
        user_id=caller.user_id,
        name=new.name,
        description=new.description,
        size=found.size,
        status=VolumeStatus.MANAGING,
        availability_zone=new.zone,
        volume_type_id=kind.id,
        host=found.host,
        storage_id=found.storage_id,
        bootable=new.bootable,
        multiattach=kind.extra_specs.get("multiattach") == "<is> True",
        metadata=new.metadata,
        facts={},
    )
    made = volumes.get(tx, new.id)
    args = {"reference": found.reference, "size": found.size}
    enqueue(tx, on_volume("volume.manage", caller, new.operation_id, made, args))
    cause = Request(new.operation_id, caller.request_id)
    notifications.of_volume(tx, cause, made, "manage_existing.start", made.status)
    pools.adjust(tx, found.storage_id, found.size, 1)
    return TypedVolume(made, kind.name)


@dataclass(frozen=True, slots=True)
class ManagedSnapshot:
    """A snapshot as it is asked for."""

    id: str
    operation_id: str
    volume_id: str
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def manage_snapshot(
    tx: Connection, caller: RequestContext, settings: Settings, new: ManagedSnapshot, found: Found
) -> Snapshot:
    """Accept the snapshot: it is ``managing``, and counted."""
    known = volumes.get(tx, new.volume_id, project_of(caller))
    kind = volume_types.name_of(tx, known.volume_type_id)
    use = quota_use.of_snapshot(found.size, kind, settings.count_snapshot_gigabytes)
    quotas.change(tx, caller.owner, use, settings.quota_defaults)
    volumes.touch(tx, known.id)
    volume = volumes.get(tx, known.id)
    judge("volume", volume.id, "snapshot", volume.status)
    if found.size > volume.size:
        raise Invalid(
            reason=f"Invalid input received: the snapshot has {found.size} GiB, and its volume {volume.id} "
            f"{volume.size} GiB."
        )
    operations.refuse_if_on_it(tx, "volume", volume.id)
    snapshots.add(
        tx,
        id=new.id,
        project_id=caller.owner,
        user_id=caller.user_id,
        volume_id=volume.id,
        name=new.name,
        description=new.description,
        size=found.size,
        status=SnapshotStatus.MANAGING,
        volume_type_id=volume.volume_type_id,
        metadata=new.metadata,
        facts={},
    )
    made = snapshots.get(tx, new.id)
    args = {"reference": found.reference, "size": found.size}
    enqueue(tx, on_snapshot("snapshot.manage", caller, new.operation_id, made, volume, args))
    cause = Request(new.operation_id, caller.request_id)
    notifications.of_snapshot(tx, cause, made, "manage_existing_snapshot.start", made.status)
    return made


def unmanage(tx: Connection, caller: RequestContext, volume_id: str, operation_id: str) -> Accepted:
    """Accept that the volume is given away, or join what is under way. Nobody may use it, and nothing hang on it."""
    volumes.get(tx, volume_id, project_of(caller))
    volumes.touch(tx, volume_id)
    volume = volumes.get(tx, volume_id)
    if judge("volume", volume.id, "unmanage", volume.status) is Answer.JOIN:
        return joined(tx, volume.id, volume.host)
    operations.refuse_if_held(tx, "volume", volume.id)
    operations.refuse_if_flattened(tx, volume.id)
    if volume.host is None:
        raise Invalid(reason=f"Invalid volume: volume {volume.id} is on no backend, so it can only be deleted.")
    _refuse_dependents(tx, volume.id)
    volumes.move(tx, volume.id, VolumeStatus(volume.status), VolumeStatus.UNMANAGING, error=None)
    enqueue(tx, on_volume("volume.unmanage", caller, operation_id, volume, {}))
    cause = Request(operation_id, caller.request_id)
    notifications.of_volume(tx, cause, volume, "unmanage.start", VolumeStatus.UNMANAGING)
    return Accepted(operation_id, volume.host)


def unmanage_snapshot(tx: Connection, caller: RequestContext, snapshot_id: str, operation_id: str) -> Accepted:
    """Accept that the snapshot is given away, or join what is under way."""
    snapshot, volume = taken(tx, caller, snapshot_id)
    if judge("snapshot", snapshot.id, "unmanage", snapshot.status) is Answer.JOIN:
        return joined(tx, snapshot.id, volume.host)
    operations.refuse_if_held(tx, "snapshot", snapshot.id)
    operations.refuse_if_on_it(tx, "volume", volume.id)
    to = SnapshotStatus.UNMANAGING
    snapshots.move(tx, snapshot.id, SnapshotStatus(snapshot.status), to, error=None)
    enqueue(tx, on_snapshot("snapshot.unmanage", caller, operation_id, snapshot, volume, {}))
    notifications.of_snapshot(tx, Request(operation_id, caller.request_id), snapshot, "unmanage.start", to)
    return Accepted(operation_id, volume.host)


def _refuse_dependents(tx: Connection, volume_id: str) -> None:
    for what, found in (
        ("attachments", attachments.of_volume(tx, volume_id)),
        ("snapshots", snapshots.of_volume(tx, volume_id)),
    ):
        if found:
            raise HasDependents(resource_type="volume", resource_id=volume_id, dependents=f"{len(found)} {what}")

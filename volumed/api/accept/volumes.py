"""What the requests to create and delete a volume write, each in one transaction.

The order is the same for all: quota, resources in id order, checks, the operation, the event.
"""

from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from volumed.api.accept import cancellation
from volumed.api.accept.new_operations import on_volume
from volumed.api.accept.transaction import enqueue
from volumed.api.settings import Settings
from volumed.db import attachments, operations, quotas, services, snapshots, volume_types, volumes
from volumed.db.operations import SCHEDULER_QUEUE, NewOperation
from volumed.db.volumes import TypedVolume
from volumed.model import quota_use
from volumed.model.context import RequestContext
from volumed.model.errors import HasDependents, Invalid, InvalidField, NotFound, QuotaExceeded
from volumed.model.host import backend_of
from volumed.model.records import Operation, Snapshot, Volume, VolumeType
from volumed.model.requests import Answer, judge
from volumed.model.states import AttachStatus, SnapshotStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.notifications import Request


@dataclass(frozen=True, slots=True)
class NewVolume:
    """A volume as it is asked for. ``size`` None: the source's."""

    id: str
    operation_id: str
    size: int | None
    name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    multiattach: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """What a new volume is copied from: a volume, or a snapshot and its volume."""

    resource_type: str
    id: str
    size: int
    volume: Volume


@dataclass(frozen=True, slots=True)
class Accepted:
    """An operation that waits for its service. ``host`` None: nothing is left to do, or nobody has it yet.

    ``cancels``: the operation on ``host`` that is to be cancelled first.
    """

    operation_id: str | None
    host: str | None = None
    cancels: str | None = None


def joined(tx: Connection, resource_id: str, host: str | None) -> Accepted:
    """The answer to a request that is under way on the resource already."""
    live = operations.live_on(tx, resource_id)
    return Accepted(None if live is None else live.id, host)


def project_of(caller: RequestContext) -> str | None:
    """Whose things the caller may name; None, everybody's, for an administrator."""
    return None if caller.is_admin else caller.project_id


# --- create --------------------------------------------------------------------------------------------------------


def create(tx: Connection, caller: RequestContext, settings: Settings, new: NewVolume) -> TypedVolume:
    """Accept a new volume: it is ``creating``, and its operation waits for a scheduler."""
    source = _source(tx, caller, new)
    size = _size(new, source, settings, caller.owner)
    inherited = None if source is None else source.volume.volume_type_id
    kind = type_for(tx, caller, settings, new.volume_type, inherited)
    zone = _zone(tx, new, source, settings)
    quotas.change(tx, caller.owner, quota_use.of_volume(size, kind.name), settings.quota_defaults)
    if source is not None:
        _take_source(tx, source, size)
    multiattach = new.multiattach or kind.extra_specs.get("multiattach") == "<is> True"
    volumes.add(
        tx,
        id=new.id,
        project_id=caller.owner,
        user_id=caller.user_id,
        name=new.name,
        description=new.description,
        size=size,
        status=VolumeStatus.CREATING,
        availability_zone=zone,
        volume_type_id=kind.id,
        snapshot_id=new.snapshot_id,
        source_volid=new.source_volid,
        bootable=source is not None and source.volume.bootable,
        multiattach=multiattach,
        metadata=new.metadata,
        facts={},
    )
    made = volumes.get(tx, new.id)
    enqueue(tx, _create_operation(caller, made, kind, source, new))
    cause = Request(new.operation_id, caller.request_id)
    notifications.of_volume(tx, cause, made, "create.start", made.status)
    return TypedVolume(made, kind.name)


def _create_operation(
    caller: RequestContext, volume: Volume, kind: VolumeType, source: Source | None, new: NewVolume
) -> NewOperation:
    return NewOperation(
        id=new.operation_id,
        kind="volume.create",
        resource_type="volume",
        resource_id=volume.id,
        volume_id=volume.id,
        project_id=volume.project_id,
        user_id=volume.user_id,
        request_id=caller.request_id,
        queue=SCHEDULER_QUEUE,
        lane="short" if source is None else "long",
        source_id=None if source is None else source.id,
        args={
            "size": volume.size,
            "volume_type": kind.name,
            "extra_specs": kind.extra_specs,
            "availability_zone": volume.availability_zone,
            "snapshot_id": volume.snapshot_id,
            "source_volid": volume.source_volid,
            "source_host": None if source is None else source.volume.host,
            "multiattach": volume.multiattach,
        },
    )


def _source(tx: Connection, caller: RequestContext, new: NewVolume) -> Source | None:
    if new.snapshot_id is not None:
        snapshot = snapshots.get(tx, new.snapshot_id, project_of(caller))
        return Source("snapshot", snapshot.id, snapshot.size, volumes.get(tx, snapshot.volume_id))
    if new.source_volid is not None:
        volume = volumes.get(tx, new.source_volid, project_of(caller))
        return Source("volume", volume.id, volume.size, volume)
    return None


def _size(new: NewVolume, source: Source | None, settings: Settings, project_id: str) -> int:
    size = new.size if new.size is not None else source.size if source is not None else None
    if size is None:
        raise InvalidField(field="volume/size", reason="a size in GiB is needed where there is no source")
    if source is not None and size < source.size:
        raise _too_small(size, source.resource_type, source.size)
    check_size(size, settings, project_id, "volume/size")
    return size


def _too_small(size: int, source_type: str, source_size: int) -> Invalid:
    return Invalid(
        reason=f"Invalid input received: Invalid volume size provided for create request: {size} GiB; "
        f"the {source_type} has {source_size} GiB, and a volume cannot be smaller than its source."
    )


def check_size(size: int, settings: Settings, project_id: str, name: str) -> None:
    """Refuse a size that no volume may have."""
    if size > settings.max_volume_size:
        raise InvalidField(field=name, reason=f"{size} GiB is more than the {settings.max_volume_size} GiB of a volume")
    limit = settings.per_volume_gigabytes
    if 0 <= limit < size:
        raise QuotaExceeded(
            requested=size, resource="per_volume_gigabytes", in_use=0, limit=limit, project_id=project_id
        )


def type_for(
    tx: Connection, caller: RequestContext, settings: Settings, wanted: str | None, inherited: str | None = None
) -> VolumeType:
    """The type of a new volume: the one that is wanted, its source's (``inherited``), or the default one.

    Raises ``NotFound`` for one that is not there, or that is not for the caller.
    """
    reference = wanted or inherited or settings.default_volume_type
    found = volume_types.find(tx, reference)
    if found is None or not (found.is_public or caller.is_admin or found.id == inherited):
        raise NotFound(resource_type="volume type", resource_id=reference)
    return found


def _zone(tx: Connection, new: NewVolume, source: Source | None, settings: Settings) -> str:
    if new.availability_zone is None:
        return settings.default_zone if source is None else source.volume.availability_zone
    if new.availability_zone not in services.zones(tx):
        raise Invalid(
            reason=f"Invalid input received: Availability zone '{new.availability_zone}' is invalid: it has no service."
        )
    return new.availability_zone


def _take_source(tx: Connection, source: Source, size: int) -> None:
    """Many may copy it at once, so only work ON it stands in the way; the operation's ``source_id`` then holds it."""
    taken: Volume | Snapshot
    if source.resource_type == "snapshot":
        snapshots.touch(tx, source.id)
        taken = snapshots.get(tx, source.id)
    else:
        volumes.touch(tx, source.id)
        taken = volumes.get(tx, source.id)
    judge(source.resource_type, source.id, "clone", taken.status)
    if size < taken.size:
        raise _too_small(size, source.resource_type, taken.size)
    operations.refuse_if_on_it(tx, source.resource_type, source.id)


def create_again(
    tx: Connection, caller: RequestContext, settings: Settings, volume_id: str, operation_id: str
) -> Accepted:
    """Accept the create of a volume that failed once more, as its row asks for it; its quota is still spent."""
    volumes.touch(tx, volume_id)
    volume = volumes.get(tx, volume_id, project_of(caller))
    judge("volume", volume.id, "create_again", volume.status)
    if volume.host is not None:
        raise Invalid(reason=f"Invalid volume: volume {volume.id} was created once and is on a backend.")
    operations.refuse_if_held(tx, "volume", volume.id)
    new = NewVolume(
        volume.id, operation_id, volume.size, snapshot_id=volume.snapshot_id, source_volid=volume.source_volid
    )
    source = _source(tx, caller, new)
    if source is not None:
        _take_source(tx, source, volume.size)
    volumes.move(tx, volume.id, VolumeStatus.ERROR, VolumeStatus.CREATING, error=None)
    kind = volume_types.get(tx, volume.volume_type_id)
    again = _create_operation(caller, volume, kind, source, new)
    enqueue(tx, replace(again, args=again.args | {"again": True}))
    cause = Request(operation_id, caller.request_id)
    notifications.of_volume(tx, cause, volume, "create.start", VolumeStatus.CREATING)
    return Accepted(operation_id)


# --- delete --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Removal:
    """A delete as it is asked for. ``force``: in whatever status force allows. ``cascade``: its snapshots too."""

    volume_id: str
    operation_id: str
    force: bool = False
    cascade: bool = False


def delete(tx: Connection, caller: RequestContext, settings: Settings, removal: Removal) -> Accepted:
    """Accept the delete, or join the one that is under way. One that was never placed is gone at once."""
    known = volumes.get(tx, removal.volume_id, project_of(caller))
    if known.host is None and known.status in {VolumeStatus.ERROR, VolumeStatus.ERROR_MANAGING}:
        return _delete_unplaced(tx, caller, removal, known)
    volumes.touch(tx, known.id)
    volume = volumes.get(tx, known.id)
    answer = judge("volume", volume.id, "force_delete" if removal.force else "delete", volume.status)
    if answer is Answer.JOIN:
        return joined(tx, volume.id, volume.host)
    if answer is Answer.CANCEL:
        live = operations.live_on(tx, volume.id)
        if live is None:
            raise Invalid(
                reason=f"Invalid volume: volume {volume.id} is {volume.status} without an operation; "
                "the doctor finds it and repairs it."
            )
        return _delete_after(tx, caller, removal, volume, live)
    operations.refuse_if_held(tx, "volume", volume.id)
    _refuse_if_attached(tx, volume, removal.force)
    _take_snapshots(tx, volume, removal.cascade)
    volumes.move(tx, volume.id, VolumeStatus(volume.status), VolumeStatus.DELETING, error=None)
    cause = Request(removal.operation_id, caller.request_id)
    notifications.of_volume(tx, cause, volume, "delete.start", VolumeStatus.DELETING)
    if (flatten := operations.flatten_of(tx, volume.id)) is not None:
        return _delete_after_flatten(tx, caller, removal, volume, flatten)
    queue = SCHEDULER_QUEUE if volume.host is None else backend_of(volume.host)
    enqueue(tx, _delete_operation(caller, volume, removal, queue))
    return Accepted(removal.operation_id, volume.host)


def _delete_after_flatten(
    tx: Connection, caller: RequestContext, removal: Removal, volume: Volume, flatten: Operation
) -> Accepted:
    """The flattening is cancelled; the volume is the delete's from now on, which begins when that has ended."""
    cancellation.request(tx, caller, flatten)
    operations.add_after(
        tx, _delete_operation(caller, volume, removal, flatten.queue), flatten.id, _waits_for(flatten), holds=True
    )
    return Accepted(removal.operation_id, flatten.queue, cancels=flatten.id)


def _waits_for(live: Operation) -> str:
    return f"waits for the end of operation {live.id} ({live.kind}), which is cancelled if it can be"


def _delete_after(
    tx: Connection, caller: RequestContext, removal: Removal, volume: Volume, live: Operation
) -> Accepted:
    """Cancel what is under way; the delete follows its end. What no backend has is gone at once."""
    if (successor := operations.successor_of(tx, live.id)) is not None:
        return Accepted(successor.id, volume.host)
    if cancellation.request(tx, caller, live):
        return _delete_unplaced(tx, caller, removal, volumes.get(tx, volume.id))
    _refuse_if_attached(tx, volume, removal.force)
    _take_snapshots(tx, volume, removal.cascade)
    operations.add_after(tx, _delete_operation(caller, volume, removal, live.queue), live.id, _waits_for(live))
    return Accepted(removal.operation_id, live.queue, cancels=live.id)


def _delete_unplaced(tx: Connection, caller: RequestContext, removal: Removal, known: Volume) -> Accepted:
    kind = volume_types.name_of(tx, known.volume_type_id)
    quotas.adjust(tx, known.project_id, quota_use.negative(quota_use.of_volume(known.size, kind)))
    volumes.move(tx, known.id, VolumeStatus(known.status), VolumeStatus.DELETING)
    operations.refuse_if_held(tx, "volume", known.id)
    operations.add_ended(tx, _delete_operation(caller, known, removal, SCHEDULER_QUEUE))
    cause = Request(removal.operation_id, caller.request_id)
    notifications.of_volume(tx, cause, known, "delete.start", VolumeStatus.DELETING)
    volumes.remove(tx, known.id)
    notifications.of_volume(tx, cause, known, "delete.end", "deleted")
    return Accepted(removal.operation_id)


def _delete_operation(caller: RequestContext, volume: Volume, removal: Removal, queue: str) -> NewOperation:
    args = {"cascade": removal.cascade, "force": removal.force}
    return on_volume("volume.delete", caller, removal.operation_id, volume, args, queue=queue)


def _refuse_if_attached(tx: Connection, volume: Volume, force: bool) -> None:
    """Force drops reservations: the backend never heard of them. Nobody says that he uses the volume."""
    found = attachments.of_volume(tx, volume.id)
    unused = [each for each in found if each.credentials is None and each.attach_status != AttachStatus.ATTACHED]
    dropped = unused if force else []
    if len(found) > len(dropped):
        raise HasDependents(resource_type="volume", resource_id=volume.id, dependents=f"{len(found)} attachments")
    for attachment in dropped:
        attachments.remove(tx, attachment.id)


def _take_snapshots(tx: Connection, volume: Volume, cascade: bool) -> None:
    """With the cascade the snapshots go to ``deleting``; without it there must be none."""
    found = snapshots.of_volume(tx, volume.id)
    if found and not cascade:
        raise HasDependents(resource_type="volume", resource_id=volume.id, dependents=f"{len(found)} snapshots")
    for snapshot in found:
        snapshots.touch(tx, snapshot.id)
        taken = snapshots.get(tx, snapshot.id)
        operations.refuse_if_held(tx, "snapshot", snapshot.id)
        judge("snapshot", snapshot.id, "delete", taken.status)
        snapshots.move(tx, snapshot.id, SnapshotStatus(taken.status), SnapshotStatus.DELETING)

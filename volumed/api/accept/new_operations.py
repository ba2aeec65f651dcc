"""The operations that requests write: on a volume, and on a snapshot of one, in the queue of its backend."""

from volumed.db.operations import NewOperation
from volumed.model.context import RequestContext
from volumed.model.host import backend_of
from volumed.model.records import Json, Snapshot, Volume


def on_volume(
    kind: str,
    caller: RequestContext,
    operation_id: str,
    volume: Volume,
    args: Json,
    lane: str = "short",
    source_id: str | None = None,
    queue: str | None = None,
) -> NewOperation:
    """``queue`` None: that of the volume's backend."""
    return NewOperation(
        id=operation_id,
        kind=kind,
        resource_type="volume",
        resource_id=volume.id,
        volume_id=volume.id,
        project_id=volume.project_id,
        user_id=caller.user_id,
        request_id=caller.request_id,
        queue=backend_of(volume.host or "") if queue is None else queue,
        lane=lane,
        source_id=source_id,
        args=args,
    )


def on_snapshot(
    kind: str,
    caller: RequestContext,
    operation_id: str,
    snapshot: Snapshot,
    volume: Volume,
    args: Json,
    lane: str = "short",
) -> NewOperation:
    """It only reads the volume that the snapshot is of."""
    return NewOperation(
        id=operation_id,
        kind=kind,
        resource_type="snapshot",
        resource_id=snapshot.id,
        volume_id=volume.id,
        source_id=volume.id,
        project_id=snapshot.project_id,
        user_id=caller.user_id,
        request_id=caller.request_id,
        queue=backend_of(volume.host or ""),
        lane=lane,
        args=args,
    )

"""The first event of an accepted request, written in its transaction; what follows is its service's to tell.

Source of names and fields: the Block Storage service's ``volume.*`` and ``snapshot.*`` usage notifications.
"""

from sqlalchemy import Connection

from volumed.db import events
from volumed.model.context import RequestContext
from volumed.model.records import Json, Snapshot, Volume


def of_volume(
    tx: Connection,
    caller: RequestContext,
    volume: Volume,
    suffix: str,
    status: str,
    operation_id: str | None,
    **more: object,
) -> None:
    """Write ``volume.SUFFIX`` (``create.start`` and the like) with the volume's new ``status``."""
    payload: Json = {
        "tenant_id": volume.project_id,
        "user_id": volume.user_id,
        "volume_id": volume.id,
        "volume_type": volume.volume_type_id,
        "display_name": volume.name,
        "size": volume.size,
        "host": volume.host,
        "availability_zone": volume.availability_zone,
        "snapshot_id": volume.snapshot_id,
        "source_volid": volume.source_volid,
        "status": status,
    }
    event_type = f"volume.{suffix}"
    events.add(tx, "volume", volume.id, volume.project_id, event_type, payload | more, operation_id, caller.request_id)


def of_snapshot(
    tx: Connection, caller: RequestContext, snapshot: Snapshot, suffix: str, status: str, operation_id: str | None
) -> None:
    """Write ``snapshot.SUFFIX`` with the snapshot's new ``status``."""
    payload: Json = {
        "tenant_id": snapshot.project_id,
        "user_id": snapshot.user_id,
        "snapshot_id": snapshot.id,
        "volume_id": snapshot.volume_id,
        "display_name": snapshot.name,
        "volume_size": snapshot.size,
        "status": status,
    }
    event_type = f"snapshot.{suffix}"
    events.add(tx, "snapshot", snapshot.id, snapshot.project_id, event_type, payload, operation_id, caller.request_id)

"""The events of volumes, snapshots and attachments, written with the change that they tell of.

Source of names and fields: the Block Storage service's ``volume.*`` and ``snapshot.*`` usage notifications.
"""

from sqlalchemy import Connection

from volumed.db import events
from volumed.model.records import Json, Operation, Snapshot, Volume


def of_volume(tx: Connection, operation: Operation, volume: Volume, suffix: str, status: str, **more: object) -> None:
    """Write ``volume.SUFFIX`` (``create.end`` and the like) with the volume's new ``status``."""
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
    _add(tx, operation, "volume", volume.id, volume.project_id, f"volume.{suffix}", payload | more)


def of_snapshot(
    tx: Connection, operation: Operation, snapshot: Snapshot, suffix: str, status: str, **more: object
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
    _add(tx, operation, "snapshot", snapshot.id, snapshot.project_id, f"snapshot.{suffix}", payload | more)


def _add(
    tx: Connection,
    operation: Operation,
    resource_type: str,
    resource_id: str,
    project_id: str,
    event_type: str,
    payload: Json,
) -> None:
    events.add(tx, resource_type, resource_id, project_id, event_type, payload, operation.id, operation.request_id)

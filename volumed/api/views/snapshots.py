"""A snapshot as JSON, in the request's microversion."""

from typing import Any

from volumed.api import microversions
from volumed.api.moments import spelled
from volumed.api.views.manageable import shown
from volumed.model.records import Snapshot
from volumed.model.states import SnapshotStatus


def summary(snapshot: Snapshot, minor: int) -> dict[str, Any]:
    """What a list without details says."""
    told: dict[str, Any] = {
        "id": snapshot.id,
        "name": snapshot.name,
        "description": snapshot.description,
        "status": shown(snapshot.status),
        "size": snapshot.size,
        "volume_id": snapshot.volume_id,
        "metadata": snapshot.metadata,
        "created_at": spelled(snapshot.created_at),
        "updated_at": spelled(snapshot.updated_at),
    }
    if minor >= microversions.GROUP_SNAPSHOTS:
        told["group_snapshot_id"] = None
    if minor >= microversions.SNAPSHOT_USER:
        told["user_id"] = snapshot.user_id
    if minor >= microversions.CONSUMES_QUOTA:
        told["consumes_quota"] = True
    return told


def detail(snapshot: Snapshot, minor: int) -> dict[str, Any]:
    """All of the snapshot."""
    told = summary(snapshot, minor) | {
        "os-extended-snapshot-attributes:project_id": snapshot.project_id,
        "os-extended-snapshot-attributes:progress": "100%" if snapshot.status == SnapshotStatus.AVAILABLE else "0%",
    }
    return told if snapshot.error is None else told | {"volumed:error": snapshot.error}

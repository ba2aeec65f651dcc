"""The events of volumes and snapshots, written with the change that they tell of.

Source of names and fields: the Block Storage service's ``volume.*`` and ``snapshot.*`` usage notifications.
"""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from volumed.db import events
from volumed.model.records import Json, Snapshot, Volume


class Cause(Protocol):
    """What made the change: an operation, or a request that ended with its own transaction."""

    @property
    def id(self) -> str | None:
        """The operation's id."""

    @property
    def request_id(self) -> str:
        """The request's id."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request with the id of the operation that it makes, None where it makes none."""

    id: str | None
    request_id: str


def of_volume(tx: Connection, cause: Cause, volume: Volume, suffix: str, status: str, **more: object) -> None:
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
    name = f"volume.{suffix}"
    events.add(tx, "volume", volume.id, volume.project_id, name, payload | more, cause.id, cause.request_id)


def of_snapshot(tx: Connection, cause: Cause, snapshot: Snapshot, suffix: str, status: str, **more: object) -> None:
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
    name = f"snapshot.{suffix}"
    events.add(tx, "snapshot", snapshot.id, snapshot.project_id, name, payload | more, cause.id, cause.request_id)

"""One backend as the operations see it: its driver and everything they need beside it.

Turns rows into the values a driver is told, and knows nothing of RPC or of how operations are claimed.
"""

from dataclasses import dataclass
from typing import Any

from volumed.db import attachments
from volumed.db.engine import Database
from volumed.driver.interface import Access, Driver, SnapshotRef, VolumeRef
from volumed.model.host import pool_of
from volumed.model.records import Attachment, Snapshot, Volume
from volumed.model.states import REACHABLE_ATTACHMENT


@dataclass(frozen=True)
class Backend:
    """``host`` is ``host@backend``; ``export_on_create``: a volume is exported from its creation on."""

    host: str
    driver: Driver
    database: Database
    export_on_create: bool

    def accesses_to(self, volume_id: str) -> list[Access]:
        """Who may reach the volume now, by its attachments; read under the lock of its export."""
        with self.database.reading() as tx:
            rows = attachments.of_volume(tx, volume_id)
        return [access_of(row) for row in rows if is_reachable(row)]

    def is_attached(self, volume_id: str) -> bool:
        """Whether anybody may be writing to the volume."""
        return bool(self.accesses_to(volume_id))


def is_reachable(attachment: Attachment) -> bool:
    """Whether the attachment lets its initiator in."""
    return attachment.attach_status in REACHABLE_ATTACHMENT and attachment.credentials is not None


def access_of(attachment: Attachment) -> Access:
    """The attachment as a target sees it. It must have credentials."""
    credentials: dict[str, Any] = attachment.credentials or {}
    return Access(
        attachment_id=attachment.id,
        initiator=(attachment.connector or {}).get("initiator"),
        read_only=attachment.attach_mode == "ro",
        username=credentials["username"],
        password=credentials["password"],
    )


def volume_ref(volume: Volume) -> VolumeRef:
    """The volume as a driver sees it."""
    return VolumeRef(id=volume.id, size=volume.size, pool=pool_of(volume.host or "") or "", facts=volume.facts)


def snapshot_ref(snapshot: Snapshot, volume: Volume) -> SnapshotRef:
    """The snapshot of ``volume`` as a driver sees it."""
    return SnapshotRef(id=snapshot.id, volume=volume_ref(volume), size=snapshot.size, facts=snapshot.facts)

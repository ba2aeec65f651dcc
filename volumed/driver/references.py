"""Rows as the values that a driver is told."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from volumed.driver.interface import Access, SnapshotRef, VolumeRef
from volumed.model.errors import SecretUnreadable
from volumed.model.host import pool_of
from volumed.model.records import Attachment, Snapshot, Volume
from volumed.model.states import REACHABLE_ATTACHMENT, AttachStatus

LOG = logging.getLogger(__name__)


def is_reachable(attachment: Attachment) -> bool:
    """Whether the attachment lets its initiator in."""
    return attachment.attach_status in REACHABLE_ATTACHMENT and attachment.credentials is not None


def is_leaving(attachment: Attachment) -> bool:
    """Whether its initiator may be in yet: the detach that is under way puts it out, and nobody else."""
    return attachment.attach_status == AttachStatus.DETACHING and attachment.credentials is not None


def access_of(attachment: Attachment) -> Access:
    """The attachment as a target sees it. It must have credentials."""
    credentials: Mapping[str, Any] = attachment.credentials or {}
    return Access(
        attachment_id=attachment.id,
        initiator=(attachment.connector or {}).get("initiator"),
        read_only=attachment.attach_mode == "ro",
        username=credentials["username"],
        password=credentials["password"],
    )


def accesses_of(found: Iterable[Attachment]) -> tuple[dict[str, list[Access]], frozenset[str]]:
    """Whom the attachments let in, by volume; and the volumes of which a secret does not open: they stay."""
    accesses: dict[str, list[Access]] = {}
    unreadable: set[str] = set()
    for attachment in found:
        try:
            accesses.setdefault(attachment.volume_id, []).append(access_of(attachment))
        except SecretUnreadable as error:
            LOG.warning("the export of volume %s stays as it is: %s", attachment.volume_id, error)
            unreadable.add(attachment.volume_id)
    return accesses, frozenset(unreadable)


def volume_ref(volume: Volume) -> VolumeRef:
    """The volume as a driver sees it."""
    return VolumeRef(id=volume.id, size=volume.size, pool=pool_of(volume.host or "") or "", facts=volume.facts)


def snapshot_ref(snapshot: Snapshot, volume: Volume) -> SnapshotRef:
    """The snapshot of ``volume`` as a driver sees it."""
    return SnapshotRef(id=snapshot.id, volume=volume_ref(volume), size=snapshot.size, facts=snapshot.facts)

"""Queries of attachments."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, select

from volumed.db import pages
from volumed.db.clock import now
from volumed.db.pages import Listing
from volumed.db.rows import Rows
from volumed.db.tables import attachments, volumes
from volumed.model.records import Attachment
from volumed.model.states import ATTACHMENT_MOVES, REACHABLE_ATTACHMENT, AttachStatus

_ROWS = Rows(attachments, Attachment, "attachment", ATTACHMENT_MOVES, status="attach_status")
add, get, find, touch, change, move, remove = (
    _ROWS.add,
    _ROWS.get,
    _ROWS.find,
    _ROWS.touch,
    _ROWS.change,
    _ROWS.move,
    _ROWS.remove,
)


def of_volume(tx: Connection, volume_id: str) -> list[Attachment]:
    """The volume's attachments, oldest first."""
    wanted = select(attachments).where(attachments.c.volume_id == volume_id)
    return [Attachment(*row) for row in tx.execute(wanted.order_by(attachments.c.created_at, attachments.c.id))]


def of_volumes(tx: Connection, volume_ids: Collection[str]) -> dict[str, list[Attachment]]:
    """The attachments of many volumes, by volume."""
    found: dict[str, list[Attachment]] = {}
    wanted = select(attachments).where(attachments.c.volume_id.in_(list(volume_ids)))
    for row in tx.execute(wanted.order_by(attachments.c.created_at, attachments.c.id)):
        found.setdefault(row.volume_id, []).append(Attachment(*row))
    return found


def reachable_on(tx: Connection, host: str) -> list[Attachment]:
    """Attachments that let an initiator in to a volume on ``host@backend``."""
    wanted = (
        select(attachments)
        .join(volumes, volumes.c.id == attachments.c.volume_id)
        .where(
            volumes.c.host.startswith(host + "#", autoescape=True),
            attachments.c.attach_status.in_(sorted(REACHABLE_ATTACHMENT)),
            attachments.c.credentials.is_not(None),
        )
    )
    return [Attachment(*row) for row in tx.execute(wanted)]


def mark_attached(tx: Connection, attachment_id: str, expected: AttachStatus, **values: Any) -> None:
    """The client is logged in from now on."""
    move(tx, attachment_id, expected, AttachStatus.ATTACHED, attached_at=now(), **values)


def add_attached(tx: Connection, attachment_id: str, **values: Any) -> None:
    """Insert an attachment that the backend was not asked for: the client says that it uses the volume."""
    add(tx, id=attachment_id, attach_status=AttachStatus.ATTACHING, **values)
    mark_attached(tx, attachment_id, AttachStatus.ATTACHING)


def page(tx: Connection, listing: Listing) -> list[Attachment]:
    """One page of attachments."""
    return [Attachment(*row) for row in pages.page(tx, select(attachments), attachments, listing, "attachment")]

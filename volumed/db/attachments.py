"""Queries of attachments. Credentials are sealed on their way into a row and opened when somebody looks into them."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select, update

from volumed.db import pages
from volumed.db.clock import now
from volumed.db.pages import Listing
from volumed.db.rows import Rows
from volumed.db.sealing import Sealed, seal_of
from volumed.db.tables import attachments, volumes
from volumed.model import attached
from volumed.model.errors import SecretUnreadable
from volumed.model.records import Attachment
from volumed.model.states import ATTACHMENT_MOVES, REACHABLE_ATTACHMENT, AttachStatus, VolumeStatus

_ROWS = Rows(attachments, Attachment, "attachment", ATTACHMENT_MOVES, status="attach_status")
touch, remove = _ROWS.touch, _ROWS.remove


def add(tx: Connection, **values: Any) -> None:
    """Insert a row, as ``Rows.add``."""
    _ROWS.add(tx, **_sealed(tx, values["id"], values))


def get(tx: Connection, attachment_id: str, project_id: str | None = None) -> Attachment:
    """The row, as ``Rows.get``."""
    return _readable(tx, _ROWS.get(tx, attachment_id, project_id))


def find(tx: Connection, attachment_id: str) -> Attachment | None:
    """The row, None when there is none."""
    found = _ROWS.find(tx, attachment_id)
    return None if found is None else _readable(tx, found)


def change(tx: Connection, attachment_id: str, **values: Any) -> None:
    """Change columns, as ``Rows.change``."""
    _ROWS.change(tx, attachment_id, **_sealed(tx, attachment_id, values))


def move(
    tx: Connection,
    attachment_id: str,
    expected: AttachStatus | Collection[AttachStatus],
    to: AttachStatus,
    **values: Any,
) -> None:
    """Change the status, as ``Rows.move``."""
    _ROWS.move(tx, attachment_id, expected, to, **_sealed(tx, attachment_id, values))


def of_volume(tx: Connection, volume_id: str) -> list[Attachment]:
    """The volume's attachments, oldest first."""
    wanted = select(attachments).where(attachments.c.volume_id == volume_id)
    return [_record(tx, row) for row in tx.execute(wanted.order_by(attachments.c.created_at, attachments.c.id))]


def status_of_volume(tx: Connection, volume_id: str) -> VolumeStatus:
    """What the volume is by its attachments, where nothing else is on its way. Take its row first."""
    wanted = select(attachments.c.attach_status).where(attachments.c.volume_id == volume_id)
    return attached.status_of(tx.execute(wanted).scalars().all())


def of_volumes(tx: Connection, volume_ids: Collection[str]) -> dict[str, list[Attachment]]:
    """The attachments of many volumes, by volume."""
    found: dict[str, list[Attachment]] = {}
    wanted = select(attachments).where(attachments.c.volume_id.in_(list(volume_ids)))
    for row in tx.execute(wanted.order_by(attachments.c.created_at, attachments.c.id)):
        found.setdefault(row.volume_id, []).append(_record(tx, row))
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
    return [_record(tx, row) for row in tx.execute(wanted)]


def mark_attached(tx: Connection, attachment_id: str, expected: AttachStatus, **values: Any) -> None:
    """The client is logged in from now on."""
    move(tx, attachment_id, expected, AttachStatus.ATTACHED, attached_at=now(), **values)


def add_attached(tx: Connection, attachment_id: str, **values: Any) -> None:
    """Insert an attachment that the backend was not asked for: the client says that it uses the volume."""
    add(tx, id=attachment_id, attach_status=AttachStatus.ATTACHING, **values)
    mark_attached(tx, attachment_id, AttachStatus.ATTACHING)


def page(tx: Connection, listing: Listing) -> list[Attachment]:
    """One page of attachments."""
    return [_record(tx, row) for row in pages.page(tx, select(attachments), attachments, listing, "attachment")]


# --- secrets ----------------------------------------------------------------------------------------------------------


def stored_secrets(tx: Connection) -> dict[str, Any]:
    """What stands in the rows, by attachment: a text where it is sealed, plain JSON where an older release wrote it."""
    columns = attachments.c
    return {row[0]: row[1] for row in tx.execute(select(columns.id, columns.credentials)) if row[1] is not None}


def opens(tx: Connection, attachment_id: str, sealed: str) -> bool:
    """Whether a key at hand opens what stands in the row."""
    try:
        seal_of(tx).open(_owner(attachment_id), sealed)
    except SecretUnreadable:
        return False
    return True


def store_secrets(tx: Connection, secrets: Mapping[str, Mapping[str, Any]]) -> None:
    """Seal the secrets, by attachment, with the first key, in place of what is there."""
    for attachment_id, secret in secrets.items():
        row = update(attachments).where(attachments.c.id == attachment_id)
        tx.execute(row.values(credentials=seal_of(tx).seal(_owner(attachment_id), secret)))


def _sealed(tx: Connection, attachment_id: str, values: dict[str, Any]) -> dict[str, Any]:
    secret = values.get("credentials")
    if secret is None:
        return values
    return values | {"credentials": seal_of(tx).seal(_owner(attachment_id), secret)}


def _record(tx: Connection, row: Any) -> Attachment:
    return _readable(tx, Attachment(*row))


def _readable(tx: Connection, attachment: Attachment) -> Attachment:
    stored: Any = attachment.credentials
    if not isinstance(stored, str):
        return attachment
    return replace(attachment, credentials=Sealed(seal_of(tx), _owner(attachment.id), stored))


def _owner(attachment_id: str) -> str:
    return f"attachment {attachment_id}"

"""``attachment.contradiction``: a volume's status says something else than its attachments do.

``attaching`` and ``detaching`` are left out: a client may reserve a volume before it has an attachment.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection

from volumed.db import findings, volumes
from volumed.db.engine import Database
from volumed.doctor.case import Case
from volumed.model import attached
from volumed.model.errors import NotFound
from volumed.model.findings import Finding
from volumed.model.records import Operation
from volumed.model.states import AttachStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.attached import settle

_RESTING = (VolumeStatus.AVAILABLE, VolumeStatus.RESERVED, VolumeStatus.IN_USE)

#: Statuses of an attachment by one of which a volume may be ``in-use``.
_USING = frozenset(
    {AttachStatus.ATTACHED, AttachStatus.ATTACHING, AttachStatus.DETACHING, AttachStatus.ERROR_DETACHING}
)


class AttachmentCheck:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look(self) -> Iterable[Case]:
        with self._database.snapshot() as tx:
            found = findings.attach_statuses(tx, _RESTING)
            suspected = {volume_id: said for volume_id, said in found.items() if _contradicts(*said)}
            busy = findings.touched(tx) if suspected else frozenset()
        return [_case(volume_id, *said) for volume_id, said in suspected.items() if volume_id not in busy]


def _contradicts(status: str, attach_statuses: Collection[str]) -> bool:
    if status == VolumeStatus.AVAILABLE:
        return bool(attach_statuses)
    if status == VolumeStatus.RESERVED:
        return not attach_statuses or AttachStatus.ATTACHED in attach_statuses
    return not _USING.intersection(attach_statuses)


def _case(volume_id: str, status: str, attach_statuses: Collection[str]) -> Case:
    said = ", ".join(sorted(attach_statuses)) or "there are none"
    finding = Finding(
        kind="attachment.contradiction",
        subject_type="volume",
        subject=volume_id,
        evidence=f"volume {volume_id} is {status}, and its attachments say otherwise: {said}",
        repair=f"set it to {attached.status_of(attach_statuses)}",
        volume_id=volume_id,
    )

    def write(tx: Connection, operation: Operation) -> None:
        try:
            volumes.touch(tx, volume_id)
        except NotFound:
            return
        notifications.of_volume(tx, operation, volumes.get(tx, volume_id), "repair.end", settle(tx, volume_id))

    return Case(finding, write=write)

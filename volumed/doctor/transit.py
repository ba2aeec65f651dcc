"""``transit.stranded``: a resource in a status that only an operation ends, and there is no operation.

The sweeps adopt volumes of this kind soon (another API tier makes them); what has waited longer is nobody's.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from volumed.db import attachments, findings, snapshots, volumes
from volumed.db.engine import Database
from volumed.db.findings import Stranded
from volumed.doctor.case import Case
from volumed.model.errors import NotFound
from volumed.model.findings import Finding
from volumed.model.records import Operation
from volumed.model.states import AttachStatus, SnapshotStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.attached import settle

#: Seconds after which no sweep is expected to adopt it any more.
PATIENCE = 30.0

#: An extending volume ends as its attachments say.
_ENDS: Mapping[tuple[str, str], str] = {
    ("volume", VolumeStatus.CREATING): VolumeStatus.ERROR,
    ("volume", VolumeStatus.DELETING): VolumeStatus.ERROR_DELETING,
    ("volume", VolumeStatus.MANAGING): VolumeStatus.ERROR_UNMANAGING,
    ("volume", VolumeStatus.UNMANAGING): VolumeStatus.ERROR_UNMANAGING,
    ("snapshot", SnapshotStatus.MANAGING): SnapshotStatus.ERROR_UNMANAGING,
    ("snapshot", SnapshotStatus.UNMANAGING): SnapshotStatus.ERROR_UNMANAGING,
    ("volume", VolumeStatus.REVERTING): VolumeStatus.ERROR,
    ("snapshot", SnapshotStatus.RESTORING): SnapshotStatus.AVAILABLE,
    ("snapshot", SnapshotStatus.CREATING): SnapshotStatus.ERROR,
    ("snapshot", SnapshotStatus.DELETING): SnapshotStatus.ERROR_DELETING,
    ("attachment", AttachStatus.DETACHING): AttachStatus.ERROR_DETACHING,
}


class TransitCheck:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look(self) -> Iterable[Case]:
        with self._database.snapshot() as tx:
            found = findings.stranded(tx, PATIENCE)
            busy = findings.touched(tx) if found else frozenset()
            return [_case(each, _end_of(tx, each)) for each in found if not busy & {each.id, each.volume_id}]


def _end_of(tx: Connection, found: Stranded) -> str:
    if found.status == VolumeStatus.EXTENDING:
        return attachments.status_of_volume(tx, found.id)
    return _ENDS[found.resource_type, found.status]


def _case(found: Stranded, end: str) -> Case:
    evidence = f"{found.resource_type} {found.id} is {found.status} for {found.seconds} s without an operation"
    finding = Finding(
        kind="transit.stranded",
        subject_type=found.resource_type,
        subject=found.id,
        evidence=evidence,
        repair=f"set it to {end}, from where it can be asked again",
        volume_id=found.volume_id,
    )

    def write(tx: Connection, operation: Operation) -> None:
        error = {"type": "Stranded", "message": evidence}
        try:
            _end(tx, operation, found, error)
        except NotFound:
            return

    return Case(finding, write=write)


def _end(tx: Connection, operation: Operation, found: Stranded, error: dict[str, str]) -> None:
    if found.resource_type == "volume":
        volumes.touch(tx, found.id)
        end = _end_of(tx, found)
        volumes.move(tx, found.id, VolumeStatus(found.status), VolumeStatus(end), error=error)
        notifications.of_volume(tx, operation, volumes.get(tx, found.id), "repair.end", end, error=error)
    elif found.resource_type == "snapshot":
        end = _end_of(tx, found)
        snapshots.move(tx, found.id, SnapshotStatus(found.status), SnapshotStatus(end), error=error)
        notifications.of_snapshot(tx, operation, snapshots.get(tx, found.id), "repair.end", end, error=error)
    else:
        volumes.touch(tx, found.volume_id)
        end = AttachStatus(_end_of(tx, found))
        attachments.move(tx, found.id, AttachStatus(found.status), end, error=error)
        volume, status = volumes.get(tx, found.volume_id), settle(tx, found.volume_id)
        notifications.of_volume(tx, operation, volume, "repair.end", status, attachment_id=found.id, error=error)

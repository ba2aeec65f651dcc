"""What lies on the backend against the rows of volumes and snapshots.

``data.orphan``: something of ours that no row and no live operation knows. ``data.missing``: a row that claims data
which is gone or too small; no repair brings it back, so the row is told the truth. ``account.unbound``: CHAP
credentials that no export uses. ``export.left``: what would bring back an export that is not there.
``data.remains``: what a delete left, and no operation purges; the repair queues that.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import findings, snapshots, volumes
from volumed.db.engine import Database
from volumed.doctor.case import Case
from volumed.doctor.purges import purge_case
from volumed.driver.interface import Driver, Leftover
from volumed.driver.references import snapshot_ref, volume_ref
from volumed.model.findings import Finding
from volumed.model.records import Operation, Snapshot, Volume
from volumed.model.states import WHOLE_VOLUME, SnapshotStatus, VolumeStatus
from volumed.operations import notifications
from volumed.operations.locks import export_lock
from volumed.operations.remains import PURGE, arguments

GIB = 1024**3

#: What may be the id of something that was ever ours; nobody works on what is named otherwise.
_ID = re.compile(r"[0-9A-Za-z-]{1,36}")

#: Statuses of a volume that claims its data.
_CLAIMING = WHOLE_VOLUME - {VolumeStatus.EXTENDING, VolumeStatus.ERROR_DELETING}


@dataclass(frozen=True)
class _Rows:
    """What the rows say at one moment. ``left``: volumes whose cleanup failed, which is a finding of its own.

    ``unpurged``: the same of purges.
    """

    volumes: dict[str, tuple[str, int]]
    snapshots: dict[str, tuple[str, int, str]]
    busy: frozenset[str]
    left: frozenset[str]
    unpurged: frozenset[str]


class DataCheck:
    """See the module."""

    def __init__(self, host: str, driver: Driver, database: Database) -> None:
        self._host = host
        self._driver = driver
        self._database = database

    def look(self) -> Iterable[Case]:
        audited = self._driver.audit()
        found = [each for each in audited if each.kind not in ("export", "remains")]
        rows = self._rows()
        yield from (self._account(each) for each in audited if each.kind == "export" and each.id is None)
        orphans = [each for each in found if _is_orphan(each, rows)]
        others = self._known_to_others() if orphans else frozenset()
        yield from (self._orphan(each) for each in orphans if each.kind == "temporary" or each.id not in others)
        yield from self._missing(found, rows)
        yield from self._left_of_exports(audited, rows)
        known = rows.busy | rows.unpurged
        remaining = [(each, each.id) for each in audited if each.kind == "remains" and each.id is not None]
        for each, volume_id in remaining:
            if volume_id not in known:
                case = self._only_copy if volume_id in rows.volumes else self._remains
                yield case(each, volume_id)

    def _rows(self) -> _Rows:
        with self._database.snapshot() as tx:
            return _Rows(
                findings.sizes_on(tx, self._host),
                findings.snapshot_sizes_on(tx, self._host),
                findings.touched(tx),
                frozenset(each.volume_id for each in findings.failed_on(tx, self._host, "cleanup")),
                frozenset(each.volume_id for each in findings.failed_on(tx, self._host, PURGE)),
            )

    def _known_to_others(self) -> frozenset[str]:
        """Ids of what rows have on this storage, by whichever service: those of several nodes may share one."""
        here = {pool.storage_id for pool in self._driver.capabilities().pools}
        with self._database.reading() as tx:
            return findings.ids_on_storage(tx, here)

    def _orphan(self, left: Leftover) -> Case:
        where, its_id = _shown(left.where), left.id if left.id and _ID.fullmatch(left.id) else None
        what = "a half-made copy" if left.kind == "temporary" else f"the data of a {left.kind}"
        finding = Finding(
            kind="data.orphan",
            subject_type=left.kind,
            subject=where,
            evidence=f"{where} ({left.detail}) is {what} that no row of {self._host} and no operation knows",
            repair=f"remove {where}",
            host=self._host,
            volume_id=its_id if left.kind == "volume" else None,
            locks=() if its_id is None else (its_id, export_lock(its_id)),
        )
        return Case(finding, mend=lambda: self._driver.remove_leftover(left))

    def _account(self, left: Leftover) -> Case:
        finding = Finding(
            kind="account.unbound",
            subject_type="account",
            subject=left.where,
            evidence=f"the target of {self._host} knows account {left.where}, and no export uses it",
            repair="remove the account",
            host=self._host,
        )
        return Case(finding, mend=lambda: self._driver.remove_leftover(left))

    def _left_of_exports(self, audited: Iterable[Leftover], rows: _Rows) -> Iterator[Case]:
        """The export of a volume in use takes along what is left of an earlier one: it is there, or a finding."""
        suspected = [
            (each, each.id)
            for each in audited
            if each.kind == "export" and each.id is not None and not _is_used(each.id, rows)
        ]
        exported = self._driver.exports() if suspected else {}
        yield from (self._left_of_export(*each) for each in suspected if each[1] not in exported)

    def _left_of_export(self, left: Leftover, volume_id: str) -> Case:
        where, its_id = _shown(left.where), volume_id if _ID.fullmatch(volume_id) else None
        finding = Finding(
            kind="export.left",
            subject_type="export",
            subject=where,
            evidence=f"{where} is left of an export that {self._host} does not have; it is {left.detail}",
            repair=f"remove {where}",
            host=self._host,
            volume_id=its_id,
            locks=() if its_id is None else (its_id, export_lock(its_id)),
        )
        return Case(finding, mend=lambda: self._driver.remove_leftover(left))

    def _remains(self, left: Leftover, volume_id: str) -> Case:
        """No row tells more than the volume's id, and nothing is allocated for it."""
        evidence = f"{left.where} ({left.detail}) is left of a volume, and no operation of {self._host} purges it"
        args = arguments("", 0, {}, None, left.detail)
        return purge_case(self._host, "data.remains", ("remains", left.where), volume_id, evidence, args)

    def _only_copy(self, left: Leftover, volume_id: str) -> Case:
        """Rows that were restored from a time before the delete want it back, and to purge it would be for good."""
        finding = Finding(
            kind="data.remains",
            subject_type="remains",
            subject=left.where,
            evidence=(
                f"{left.where} ({left.detail}) is left of the deleted volume {volume_id}, which has a row on"
                f" {self._host}, as after a restore of the database: bring it back there, or delete the volume"
            ),
            repair=None,
            host=self._host,
            volume_id=volume_id,
            locks=(volume_id, export_lock(volume_id)),
        )
        return Case(finding)

    def _missing(self, found: Iterable[Leftover], rows: _Rows) -> Iterator[Case]:
        seen = {(each.kind, each.id): each for each in found}
        suspected = [
            volume_id
            for volume_id, (status, size) in rows.volumes.items()
            if status in _CLAIMING and volume_id not in rows.busy and _is_short(seen.get(("volume", volume_id)), size)
        ]
        suspected_snapshots = [
            snapshot_id
            for snapshot_id, (status, size, volume_id) in rows.snapshots.items()
            if status == SnapshotStatus.AVAILABLE
            and not rows.busy & {snapshot_id, volume_id}
            and _is_short(seen.get(("snapshot", snapshot_id)), size)
        ]
        if suspected or suspected_snapshots:
            details = {each.id: each.detail for each in found if each.kind == "volume"}
            yield from self._without_data(suspected, suspected_snapshots, details)

    def _without_data(
        self, volume_ids: list[str], snapshot_ids: list[str], details: Mapping[str | None, str]
    ) -> Iterator[Case]:
        with self._database.reading() as tx:
            taken = findings.snapshots_by_id(tx, snapshot_ids)
            of_them = [snapshot.volume_id for snapshot in taken.values()]
            rows = findings.volumes_by_id(tx, [*volume_ids, *of_them])
        for volume_id in volume_ids:
            if volume_id in rows and not self._driver.has_volume(volume_ref(rows[volume_id])):
                yield self._lost_volume(rows[volume_id], details.get(volume_id, "nothing"))
        for snapshot in taken.values():
            origin = rows.get(snapshot.volume_id)
            if origin is not None and not self._driver.has_snapshot(snapshot_ref(snapshot, origin)):
                yield self._lost_snapshot(snapshot)

    def _lost_volume(self, volume: Volume, found: str) -> Case:
        evidence = (
            f"volume {volume.id} is {volume.status} with {volume.size} GiB on {self._host}, and its data there is"
            f" missing or smaller: {found}"
        )
        repair, locks = "set the volume to error", (volume.id, export_lock(volume.id))
        finding = Finding("data.missing", "volume", volume.id, evidence, repair, self._host, volume.id, locks)

        def write(tx: Connection, operation: Operation) -> None:
            error = _data_missing(evidence)
            volumes.move(tx, volume.id, VolumeStatus(volume.status), VolumeStatus.ERROR, error=error)
            notifications.of_volume(tx, operation, volume, "repair.end", VolumeStatus.ERROR, error=error)

        return Case(finding, write=write)

    def _lost_snapshot(self, snapshot: Snapshot) -> Case:
        evidence = f"snapshot {snapshot.id} is {snapshot.status}, and on {self._host} its data is missing or smaller"
        repair = "set the snapshot to error"
        about = (self._host, snapshot.volume_id, (snapshot.id,))
        finding = Finding("data.missing", "snapshot", snapshot.id, evidence, repair, *about)

        def write(tx: Connection, operation: Operation) -> None:
            error = _data_missing(evidence)
            snapshots.move(tx, snapshot.id, SnapshotStatus(snapshot.status), SnapshotStatus.ERROR, error=error)
            notifications.of_snapshot(tx, operation, snapshot, "repair.end", SnapshotStatus.ERROR, error=error)

        return Case(finding, write=write)


def _shown(text: str) -> str:
    """A file's name as text, whatever its bytes are."""
    return text.encode(errors="backslashreplace").decode()


def _data_missing(evidence: str) -> dict[str, str]:
    return {"type": "DataMissing", "message": evidence}


def _is_short(found: Leftover | None, size: int) -> bool:
    return found is None or (found.size_bytes is not None and found.size_bytes < size * GIB)


def _is_used(volume_id: str, rows: _Rows) -> bool:
    status, _ = rows.volumes.get(volume_id, ("", 0))
    return volume_id in rows.busy or status == VolumeStatus.IN_USE


def _is_orphan(left: Leftover, rows: _Rows) -> bool:
    """Whether nobody knows it. A temporary is never known: it is of an operation, or left."""
    if left.id in rows.busy:
        return False
    if left.kind == "volume":
        return left.id not in rows.volumes and left.id not in rows.left
    return left.kind == "temporary" or left.id not in rows.snapshots

"""Exports against the attachments that want them.

``export.unwanted``: somebody may reach a volume whom no attachment names. ``export.missing`` and ``export.different``:
an attachment's initiator cannot get in, or others can.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from volumed.db import attachments, findings, volumes
from volumed.db.engine import Database
from volumed.doctor.case import Case
from volumed.driver.exported import is_as_wanted
from volumed.driver.interface import Access, ActualExport, Driver, VolumeRef
from volumed.driver.references import access_of, accesses_of, is_reachable, volume_ref
from volumed.model.findings import Finding
from volumed.model.states import WHOLE_VOLUME
from volumed.operations.locks import export_lock


class ExportCheck:
    """``always``: volumes are exported from their creation on. ``serving``: nobody is about to restore exports."""

    def __init__(self, host: str, driver: Driver, database: Database, always: bool, serving: bool) -> None:
        self._host = host
        self._driver = driver
        self._database = database
        self._always = always
        self._serving = serving

    def look(self) -> Iterable[Case]:
        actual = self._driver.exports()
        wanted, busy = self._wanted()
        return self._differences(actual, wanted, busy)

    def _wanted(self) -> tuple[Mapping[str, list[Access]], frozenset[str]]:
        with self._database.snapshot() as tx:
            rows = attachments.reachable_on(tx, self._host)
            sizes = findings.sizes_on(tx, self._host) if self._always else {}
            busy = findings.touched(tx)
        wanted: dict[str, list[Access]] = {
            volume_id: [] for volume_id, (status, _) in sizes.items() if status in WHOLE_VOLUME
        }
        accesses, unreadable = accesses_of(rows)
        return wanted | accesses, busy | unreadable

    def _differences(
        self,
        actual: Mapping[str, ActualExport],
        wanted: Mapping[str, list[Access]],
        busy: Collection[str],
    ) -> Iterator[Case]:
        for volume_id in sorted(actual.keys() | wanted.keys()):
            found, accesses = actual.get(volume_id), wanted.get(volume_id)
            if volume_id not in busy and not is_as_wanted(found, accesses):
                case = self._difference(volume_id, found, accesses)
                if case is not None:
                    yield case

    def _difference(self, volume_id: str, found: ActualExport | None, accesses: list[Access] | None) -> Case | None:
        if accesses is None:
            assert found is not None
            told = f"volume {volume_id} is exported on {self._host} to {_people(found)}, and no attachment wants it"
            return self._case("export.unwanted", volume_id, told, "remove the export")
        if not self._serving or not self._has_data(volume_id):
            return None
        named = ", ".join(sorted(access.attachment_id for access in accesses)) or "its creation"
        if found is None:
            told = f"volume {volume_id} has no export on {self._host}, and attachment {named} wants one"
            return self._case("export.missing", volume_id, told, "make the export")
        told = (
            f"the export of volume {volume_id} on {self._host} lets in {_people(found)} with {len(found.usernames)}"
            f" accounts, which is not what attachment {named} wants"
        )
        return self._case("export.different", volume_id, told, "let in whom the attachments name, and nobody else")

    def _has_data(self, volume_id: str) -> bool:
        """A volume without data cannot be exported; that is another finding."""
        with self._database.reading() as tx:
            volume = volumes.find(tx, volume_id)
        return volume is not None and self._driver.has_volume(volume_ref(volume))

    def _case(self, kind: str, volume_id: str, evidence: str, repair: str) -> Case:
        locks = (export_lock(volume_id),)
        finding = Finding(kind, "export", volume_id, evidence, repair, self._host, volume_id, locks)
        return Case(finding, mend=lambda: self._settle(volume_id))

    def _settle(self, volume_id: str) -> None:
        with self._database.reading() as tx:
            volume = volumes.find(tx, volume_id)
            rows = [] if volume is None else attachments.of_volume(tx, volume_id)
        accesses = [access_of(row) for row in rows if is_reachable(row)]
        if volume is not None and (accesses or (self._always and volume.status in WHOLE_VOLUME)):
            self._driver.ensure_export(volume_ref(volume), accesses)
        else:
            self._driver.remove_export(VolumeRef(id=volume_id, size=0, pool=""))


def _people(found: ActualExport) -> str:
    return ", ".join(sorted(found.initiators)) or "nobody"

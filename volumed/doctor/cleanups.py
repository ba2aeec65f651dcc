"""``cleanup.failed``: what an undo left on the backend, and the cleanup that was to remove it was given up."""

from collections.abc import Iterable

from sqlalchemy import Connection

from volumed.db import findings, pools
from volumed.db.engine import Database
from volumed.doctor.case import Case
from volumed.driver.interface import Driver, VolumeRef
from volumed.model.findings import Finding
from volumed.model.host import is_placed_at, pool_of
from volumed.model.records import Operation, Volume
from volumed.operations.locks import export_lock


class CleanupCheck:
    """See the module."""

    def __init__(self, host: str, driver: Driver, database: Database) -> None:
        self._host = host
        self._driver = driver
        self._database = database

    def look(self) -> Iterable[Case]:
        with self._database.snapshot() as tx:
            failed = findings.failed_on(tx, self._host, "cleanup")
            busy = findings.touched(tx) if failed else frozenset()
            rows = findings.volumes_by_id(tx, [each.volume_id for each in failed]) if failed else {}
        return [
            self._case(each, self._is_here_again(each, rows.get(each.volume_id)))
            for each in failed
            if each.volume_id not in busy
        ]

    def _is_here_again(self, failed: Operation, volume: Volume | None) -> bool:
        return volume is not None and is_placed_at(volume, self._host, failed.args.get("storage_id"))

    def _case(self, failed: Operation, is_here_again: bool) -> Case:
        """``is_here_again``: the volume has come back to this backend or its storage, so there is nothing to remove."""
        reason = (failed.error or {}).get("message", "no reason was given")
        finding = Finding(
            kind="cleanup.failed",
            subject_type="operation",
            subject=failed.id,
            evidence=f"what was left of volume {failed.volume_id} on {self._host} could not be removed: {reason}",
            repair="remove what is left and give its allocation back",
            host=self._host,
            volume_id=failed.volume_id,
            locks=(failed.volume_id, export_lock(failed.volume_id)),
        )

        def mend() -> None:
            if not is_here_again:
                left = VolumeRef(failed.volume_id, failed.args["size"], pool_of(failed.args["host"] or "") or "")
                self._driver.remove_export(left)
                self._driver.delete(left)

        def write(tx: Connection, operation: Operation) -> None:
            findings.mark_repaired(tx, failed, operation.id)
            if failed.args.get("storage_id"):
                pools.adjust(tx, failed.args["storage_id"], -failed.args["size"], -1)

        return Case(finding, mend, write)

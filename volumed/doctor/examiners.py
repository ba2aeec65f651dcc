"""Who looks: one examiner for the rows, and one for each backend, which also carries out the repairs of both."""

import threading
from collections.abc import Sequence

from volumed.db.engine import Database
from volumed.doctor.allocation import AllocationCheck
from volumed.doctor.attachments import AttachmentCheck
from volumed.doctor.case import Check, confirmed
from volumed.doctor.cleanups import CleanupCheck
from volumed.doctor.data import DataCheck
from volumed.doctor.exports import ExportCheck
from volumed.doctor.housekeeping import HousekeepingCheck
from volumed.doctor.locks import LockCheck
from volumed.doctor.purges import PurgeCheck
from volumed.doctor.quota import QuotaCheck
from volumed.doctor.repair import Repair
from volumed.doctor.stale_operations import OperationCheck
from volumed.doctor.transit import TransitCheck
from volumed.driver.interface import Driver
from volumed.model.findings import Finding
from volumed.operations.locks import NodeLocks

#: The kinds of finding that a check makes, and the check.
Checks = Sequence[tuple[tuple[str, ...], Check]]


class RowExaminer:
    """Compares rows with rows. ``idempotency_retention`` in seconds; ``serving``: the services run."""

    def __init__(
        self, database: Database, count_snapshot_gigabytes: bool, idempotency_retention: float, serving: bool = True
    ) -> None:
        self.checks: Checks = (
            (("quota.drift",), QuotaCheck(database, count_snapshot_gigabytes)),
            (("allocation.drift",), AllocationCheck(database)),
            (("transit.stranded",), TransitCheck(database)),
            (("operation.keeps_key", "operation.without_resource", "operation.poisonous"), OperationCheck(database)),
            (("attachment.contradiction",), AttachmentCheck(database)),
            (("outbox.stuck", "keys.kept"), HousekeepingCheck(database, idempotency_retention, serving)),
        )

    def look(self) -> list[Finding]:
        return [case.finding for _, check in self.checks for case in check.look()]


class BackendExaminer:
    """Compares the backend ``host`` with the rows, by its ``driver``.

    ``always``: volumes are exported from their creation on; ``serving``: its manager runs.
    """

    def __init__(
        self,
        host: str,
        driver: Driver,
        database: Database,
        locks: NodeLocks,
        always: bool,
        rows: RowExaminer,
        serving: bool = True,
    ) -> None:
        self._locks = locks
        self._one_at_a_time = threading.Lock()
        self._checks: Checks = (
            (
                ("data.orphan", "data.missing", "account.unbound", "export.left", "data.remains"),
                DataCheck(host, driver, database),
            ),
            (
                ("export.unwanted", "export.missing", "export.different"),
                ExportCheck(host, driver, database, always, serving),
            ),
            (("cleanup.failed",), CleanupCheck(host, driver, database)),
            (("purge.failed",), PurgeCheck(host, database)),
            (("lock.left",), LockCheck(host, locks)),
        )
        self.repairs = Repair((*self._checks, *rows.checks))

    def look(self) -> list[Finding]:
        with self._one_at_a_time:
            return [case.finding for _, check in self._checks for case in confirmed(check, self._locks)]

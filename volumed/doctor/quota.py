"""``quota.drift``: what a project is said to use of its quota differs from a recount of its rows."""

from collections.abc import Iterable

from sqlalchemy import Connection

from volumed.db import recounts
from volumed.db.engine import Database
from volumed.db.recounts import QuotaKey
from volumed.doctor.case import Case
from volumed.model.findings import Finding
from volumed.model.records import Operation


class QuotaCheck:
    """See the module."""

    def __init__(self, database: Database, count_snapshot_gigabytes: bool) -> None:
        self._database = database
        self._count_snapshot_gigabytes = count_snapshot_gigabytes

    def look(self) -> Iterable[Case]:
        with self._database.snapshot() as tx:
            said = recounts.quota_rows(tx)
            counted = recounts.quota_use_of(tx, self._count_snapshot_gigabytes)
            in_flux = recounts.projects_in_flux(tx)
        for key in sorted(said.keys() | counted.keys()):
            if key[0] not in in_flux and said.get(key, 0) != counted.get(key, 0):
                yield self._case(key, said.get(key, 0), counted.get(key, 0))

    def _case(self, key: QuotaKey, said: int, counted: int) -> Case:
        project_id, resource = key
        finding = Finding(
            kind="quota.drift",
            subject_type="quota",
            subject=f"{project_id}/{resource}",
            evidence=f"project {project_id} is said to use {said} {resource}, and its rows add up to {counted}",
            repair="count again and store the sum",
        )

        def write(tx: Connection, operation: Operation) -> None:
            recounts.settle_quota(tx, key, self._count_snapshot_gigabytes)

        return Case(finding, write=write)

"""Operations that contradict their resource.

``operation.keeps_key``: ended, and still it keeps its resource from others. ``operation.without_resource``: alive, and
what it was to change is gone.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from volumed.db import findings
from volumed.db.engine import Database
from volumed.doctor.case import Case
from volumed.model.findings import Finding
from volumed.model.records import Operation

#: Seconds in which whoever has the operation sees by itself that its resource is gone.
PATIENCE = 30.0


class OperationCheck:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look(self) -> Iterable[Case]:
        with self._database.snapshot() as tx:
            ended = findings.ended_with_key(tx)
            alone = findings.without_resource(tx, PATIENCE)
        return [*map(_keeps_key, ended), *map(_without_resource, alone)]


def _keeps_key(ended: Operation) -> Case:
    finding = Finding(
        kind="operation.keeps_key",
        subject_type="operation",
        subject=ended.id,
        evidence=(
            f"operation {ended.id} ({ended.kind}) is {ended.state}, and still it keeps "
            f"{ended.resource_type} {ended.resource_id} from other operations"
        ),
        repair="let the resource go",
        volume_id=ended.volume_id,
    )

    def write(tx: Connection, operation: Operation) -> None:
        findings.drop_key(tx, ended.id)

    return Case(finding, write=write)


def _without_resource(alone: Operation) -> Case:
    evidence = (
        f"operation {alone.id} ({alone.kind}) is {alone.state}, and {alone.resource_type} {alone.resource_id} is gone"
    )
    finding = Finding(
        kind="operation.without_resource",
        subject_type="operation",
        subject=alone.id,
        evidence=evidence,
        repair="end the operation as failed",
        volume_id=alone.volume_id,
    )

    def write(tx: Connection, operation: Operation) -> None:
        findings.end_without_resource(tx, alone.id, {"type": "ResourceGone", "message": evidence})

    return Case(finding, write=write)

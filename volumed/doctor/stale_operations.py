"""Operations that contradict their resource.

``operation.keeps_key``: ended, and still it keeps its resource from others. ``operation.without_resource``: alive, and
what it was to change is gone. ``operation.poisonous``: given up because each of its services died of it.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from volumed.db import findings
from volumed.db.engine import Database
from volumed.doctor.case import Case
from volumed.model.findings import Finding
from volumed.model.records import Operation
from volumed.operations.run import CLAIMS_BEFORE_UNDO

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
            given_up = findings.poisonous(tx, CLAIMS_BEFORE_UNDO)
        return [*map(_keeps_key, ended), *map(_without_resource, alone), *map(_poisonous, given_up)]


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


def _poisonous(given_up: Operation) -> Case:
    """Nothing that a repair could do: it is over, and whoever mends the cause retries it or deletes what it was for."""
    reason = (given_up.error or {}).get("message", "no reason was given")
    finding = Finding(
        kind="operation.poisonous",
        subject_type="operation",
        subject=given_up.id,
        evidence=(
            f"operation {given_up.id} on {given_up.resource_type} {given_up.resource_id} was given up: {reason}; "
            f"when its cause is mended, retry it or delete the {given_up.resource_type}"
        ),
        repair=None,
        volume_id=given_up.volume_id,
    )
    return Case(finding)

"""``doctor.repair``: an operation that repairs one finding.

It looks again under the locks before it acts: what is in order by then is left alone, and the repair has succeeded.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from volumed.doctor.case import Case, Check
from volumed.model.findings import REPAIR, Finding
from volumed.model.records import Json, Operation
from volumed.operations.locks import Claims
from volumed.operations.procedure import OneWay, PoolChange


@dataclass
class RepairWork:
    """``case`` is what was found under the locks; None: nothing is to be repaired any more."""

    operation: Operation
    finding: Finding
    case: Case | None = None
    progress: Any = None


@dataclass(frozen=True)
class Mend(OneWay):
    """Look again, and make the backend what it should be; the rows follow in the ending transaction."""

    find: Callable[[Finding], Case | None]
    name: str = "repair"

    def do(self, work: RepairWork) -> None:
        work.case = self.find(work.finding)
        if work.case is not None:
            work.case.mend()


class Repair:
    """See the module. ``checks`` are asked by kind of finding."""

    kind = REPAIR
    no_return: str | None = "repair"
    elsewhere = None

    def __init__(self, checks: Iterable[tuple[tuple[str, ...], Check]]) -> None:
        self._checks = {kind: check for kinds, check in checks for kind in kinds}
        self.steps = (Mend(self._find),)

    def prepare(self, operation: Operation) -> RepairWork:
        return RepairWork(operation, Finding.from_record(operation.args["finding"]))

    def locks(self, work: RepairWork) -> Claims:
        return Claims(exclusive=work.finding.locks)

    def succeed(self, tx: Connection, work: RepairWork) -> PoolChange | None:
        if work.case is not None:
            work.case.write(tx, work.operation)
        return None

    def fail(self, tx: Connection, work: RepairWork, error: Json) -> PoolChange | None:
        return None  # the finding stays, and the operation has the reason

    def ended(self, work: RepairWork, state: str) -> None:
        """Nothing to tell: capacities are measured from time to time."""

    def _find(self, finding: Finding) -> Case | None:
        check = self._checks.get(finding.kind)
        found = () if check is None else check.look()
        return next((case for case in found if case.finding.id == finding.id), None)

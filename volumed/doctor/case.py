"""A finding with what repairs it, and how a suspicion becomes one.

What a check sees at a first look may be work in flight: an operation that began or ended between two of its queries.
So it looks again while it holds the locks of what it suspects: what is locked by another is in work and no finding;
what differs still, differs while nobody works on it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from sqlalchemy import Connection

from volumed.model.findings import Finding
from volumed.model.records import Operation
from volumed.operations.locks import Claims, NodeLocks, ResourceLocked

#: Locks that are held together at most while a check looks again.
MOST_LOCKS = 200


def _no_effect() -> None:
    """The backend is as it should be; only rows are not."""


def _no_rows(tx: Connection, operation: Operation) -> None:
    """The rows are as they should be; only the backend is not."""


@dataclass(frozen=True, slots=True)
class Case:
    """What was found, and its repair in two parts."""

    finding: Finding
    #: The repair's effect on the backend; it may run twice.
    mend: Callable[[], None] = _no_effect
    #: The repair's change of rows, in the transaction that ends the repairing operation, which it is given.
    write: Callable[[Connection, Operation], None] = _no_rows


class Check(Protocol):
    """Looks for one kind of difference; reads the actual first and the rows after it, and changes nothing."""

    def look(self) -> Iterable[Case]: ...


def confirmed(check: Check, locks: NodeLocks) -> Iterator[Case]:
    """What the check finds twice, the second time under the locks of what it suspects."""
    suspected = iter(list(check.look()))
    while chunk := list(islice(suspected, MOST_LOCKS)):
        with ExitStack() as held:
            free = _take({name for case in chunk for name in case.finding.locks}, locks, held)
            ids = {case.finding.id for case in chunk if free.issuperset(case.finding.locks)}
            yield from [case for case in check.look() if case.finding.id in ids] if ids else ()


def _take(names: Iterable[str], locks: NodeLocks, held: ExitStack) -> set[str]:
    """Those of the locks that nobody has; they are ours until ``held`` ends."""
    free = set()
    for name in sorted(names):
        try:
            held.enter_context(locks.holding(Claims(exclusive=[name]), patience=0))
        except ResourceLocked:
            continue
        free.add(name)
    return free

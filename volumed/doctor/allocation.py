"""``allocation.drift``: what a storage is said to hold of ours differs from a recount of the volumes placed on it."""

from collections.abc import Iterable

from sqlalchemy import Connection

from volumed.db import pools, recounts
from volumed.db.engine import Database
from volumed.doctor.case import Case
from volumed.model.findings import Finding
from volumed.model.records import Operation

Allocation = tuple[int, int]


class AllocationCheck:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look(self) -> Iterable[Case]:
        with self._database.snapshot() as tx:
            said = pools.allocations(tx)
            counted = recounts.allocation_of(tx)
        for storage_id, allocation in sorted(said.items()):
            if allocation != counted.get(storage_id, (0, 0)):
                yield _case(storage_id, allocation, counted.get(storage_id, (0, 0)))


def _case(storage_id: str, said: Allocation, counted: Allocation) -> Case:
    finding = Finding(
        kind="allocation.drift",
        subject_type="pool",
        subject=storage_id,
        evidence=(
            f"storage {storage_id} is said to hold {said[0]} GiB in {said[1]} volumes of ours, and the rows add up to"
            f" {counted[0]} GiB in {counted[1]}"
        ),
        repair="count again and store the sum",
    )

    def write(tx: Connection, operation: Operation) -> None:
        recounts.settle_allocation(tx, storage_id)

    return Case(finding, write=write)

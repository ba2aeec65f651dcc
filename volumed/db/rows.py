"""What the tables of resources have in common: get a row, take it, move its status, change it, remove it."""

from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

from volumed.db import proofs
from volumed.db.clock import now
from volumed.model.errors import IllegalMove, NotFound

Record = TypeVar("Record")
Status = TypeVar("Status", bound=StrEnum)


class Rows(Generic[Record, Status]):
    """The rows of one resource. ``moves`` is its table of statuses, ``status`` the column that holds one."""

    def __init__(
        self,
        table: Table,
        record: Callable[..., Record],
        resource_type: str,
        moves: Mapping[Status, frozenset[Status]],
        status: str = "status",
    ) -> None:
        self._table = table
        self._record = record
        self._resource_type = resource_type
        self._moves = moves
        self._status = status
        self._by_id = select(table).where(table.c.id == bindparam("wanted"))
        # Built once and given parameters: building an INSERT with its values anew costs three times its execution.
        self._insert = insert(table).values(created_at=now(), updated_at=now())

    def add(self, tx: Connection, **values: Any) -> None:
        """Insert a row of plain values; its times are set here, a column that is not given is NULL."""
        proofs.by_id(tx, self._table, values["id"])
        tx.execute(self._insert, values)

    def get(self, tx: Connection, resource_id: str, project_id: str | None = None) -> Record:
        """The row, of ``project_id`` unless None. Raises ``NotFound``, also for another project's."""
        row = tx.execute(self._by_id, {"wanted": resource_id}).first()
        if row is None or (project_id is not None and row.project_id != project_id):
            raise self._absent(resource_id)
        return self._record(*row)

    def find(self, tx: Connection, resource_id: str) -> Record | None:
        """The row, None when there is none."""
        row = tx.execute(self._by_id, {"wanted": resource_id}).first()
        return None if row is None else self._record(*row)

    def touch(self, tx: Connection, resource_id: str) -> None:
        """Take the row's lock for this transaction before checks on it. Raises ``NotFound``."""
        self.change(tx, resource_id)

    def change(self, tx: Connection, resource_id: str, **values: Any) -> None:
        """Change columns other than the status. Raises ``NotFound``."""
        changed = update(self._table).where(self._table.c.id == resource_id)
        if not tx.execute(changed.values(updated_at=now(), **values)).rowcount:
            raise self._absent(resource_id)

    def move(
        self, tx: Connection, resource_id: str, expected: Status | Collection[Status], to: Status, **values: Any
    ) -> None:
        """Change the status from one of ``expected``, with other ``values`` in the same statement.

        Raises ``IllegalMove`` when the table of statuses has no such move or the row has another status, ``NotFound``
        without the row.
        """
        sources = frozenset({expected} if isinstance(expected, StrEnum) else expected)
        for source in sources:
            if to != source and to not in self._moves[source]:
                raise self._illegal(resource_id, sources, to, "no such move is in the table")
        column = self._table.c[self._status]
        moved = (
            update(self._table)
            .where(self._table.c.id == resource_id, column.in_(sorted(sources)))
            .values({self._status: to.value, "updated_at": now()} | values)
        )
        if not tx.execute(moved).rowcount:
            found = tx.execute(select(column).where(self._table.c.id == resource_id)).scalar()
            if found is None:
                raise self._absent(resource_id)
            raise self._illegal(resource_id, sources, to, f"it is {found}", found)

    def remove(self, tx: Connection, resource_id: str) -> bool:
        """Delete the row; False when it is gone already."""
        return bool(tx.execute(delete(self._table).where(self._table.c.id == resource_id)).rowcount)

    def _absent(self, resource_id: str) -> NotFound:
        return NotFound(resource_type=self._resource_type, resource_id=resource_id)

    def _illegal(
        self, resource_id: str, sources: Collection[str], to: str, why: str, found: str | None = None
    ) -> IllegalMove:
        return IllegalMove(
            resource_type=self._resource_type,
            resource_id=resource_id,
            expected=" or ".join(sorted(sources)),
            to=to,
            why=why,
            found=found,
        )

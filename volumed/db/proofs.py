"""What shows that a transaction has committed whose COMMIT was not answered: an id or a token that only it writes."""

from functools import partial

from sqlalchemy import Column, Connection, Table, select, update

from volumed.db.engine import prove


def by_id(tx: Connection, table: Table, row_id: str) -> None:
    """This transaction inserts the row with this new id."""
    prove(tx, partial(_has, table, row_id, table.c.id, row_id))


def by_token(tx: Connection, table: Table, row_id: str, column: Column[str], token: str) -> None:
    """This transaction sets the row's ``column`` to a new token."""
    prove(tx, partial(_has, table, row_id, column, token))


def _has(table: Table, row_id: str, column: Column[str], value: str, tx: Connection) -> bool:
    # Changes nothing, and waits until whoever has the row has ended: the lost transaction may be at its end only now.
    tx.execute(update(table).where(table.c.id == row_id).values(id=table.c.id))
    return tx.execute(select(table.c.id).where(table.c.id == row_id, column == value)).first() is not None

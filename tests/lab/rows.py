"""The rows of a daemon as they are, in whatever database it keeps them: SQLite's file in its state folder, or a server.

Asks volumed nothing. Statements are SQL that every database understands, with ``?`` for parameters.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.pool import NullPool

#: In a state folder: where the rows are, when they are not in SQLite's file there.
ELSEWHERE = "database-url"


def tell(state: Path, url: str) -> None:
    """Say that the rows of the daemon with this state folder are in the database at ``url``."""
    (state / ELSEWHERE).write_text(url)


def select(state: Path, query: str, *arguments: Any) -> list[dict[str, Any]]:
    """What the query finds; JSON is text on SQLite and a value elsewhere."""
    with _connected(state) as connection:
        return [dict(row) for row in connection.execute(_text(query, arguments), _named(arguments)).mappings()]


def execute(state: Path, statement: str, *arguments: Any) -> int:
    """Change rows behind everybody's back; how many were changed."""
    with _connected(state) as connection, connection.begin():
        return connection.execute(_text(statement, arguments), _named(arguments)).rowcount


def tables(state: Path) -> list[str]:
    """The tables, none before there is a database."""
    if not is_elsewhere(state) and not (state / "volumed.db").exists():
        return []
    with _connected(state) as connection:
        return sqlalchemy.inspect(connection).get_table_names()


def is_elsewhere(state: Path) -> bool:
    """Whether a server has the rows."""
    return (state / ELSEWHERE).exists()


@contextmanager
def _connected(state: Path) -> Iterator[sqlalchemy.Connection]:
    if is_elsewhere(state):
        engine = sqlalchemy.create_engine((state / ELSEWHERE).read_text(), poolclass=NullPool)
    else:
        path = state / "volumed.db"
        engine = sqlalchemy.create_engine("sqlite://", creator=lambda: _open(path), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=20)


def _text(statement: str, arguments: tuple[Any, ...]) -> Any:
    parts = statement.split("?")
    assert len(parts) == len(arguments) + 1, statement
    return sqlalchemy.text("".join(f":p{place - 1}{part}" if place else part for place, part in enumerate(parts)))


def _named(arguments: tuple[Any, ...]) -> dict[str, Any]:
    return {f"p{place}": value for place, value in enumerate(arguments)}

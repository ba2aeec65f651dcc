"""The database's clock, in microseconds since the epoch: the only clock that times in rows come from.

SQLite has no server, so its clock is this node's, taken through a function that ``engine`` gives each connection.
"""

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

SECOND = 1_000_000


_POSTGRESQL = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"


class now(FunctionElement[int]):
    """The present time at the statement, not at the transaction's start."""

    type = BigInteger()
    inherit_cache = True


@compiles(now, "sqlite")
def _sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return "volumed_now()"


@compiles(now, "postgresql")
def _postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return _POSTGRESQL


@compiles(now, "mysql")
@compiles(now, "mariadb")
def _mariadb(element: Any, compiler: Any, **options: Any) -> str:
    return "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"


class now_once(FunctionElement[int]):
    """The present time, taken once a statement: an index serves a comparison with it.

    ``now`` is taken anew for each row on PostgreSQL and MariaDB, so they would read every row to compare with it.
    """

    type = BigInteger()
    inherit_cache = True


@compiles(now_once, "sqlite")
def _sqlite_once(element: Any, compiler: Any, **options: Any) -> str:
    return "volumed_now()"


@compiles(now_once, "postgresql")
def _postgresql_once(element: Any, compiler: Any, **options: Any) -> str:
    return f"(SELECT {_POSTGRESQL})"


@compiles(now_once, "mysql")
@compiles(now_once, "mariadb")
def _mariadb_once(element: Any, compiler: Any, **options: Any) -> str:
    return "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"

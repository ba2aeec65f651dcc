"""How a connection is made on each kind of database: what it waits for, how long, and by which rules it works.

Whatever the URL says of an option wins. Sources: sqlite.org/wal.html, sqlite.org/pragma.html#pragma_synchronous (FULL:
a commit that was answered survives a power cut); PostgreSQL's "Client Connection Defaults" and libpq's "Parameter Key
Words"; mariadb.com/kb, "Server System Variables" and "SQL_MODE"; PyMySQL's ``Connection``.
"""

import sqlite3
import time
from typing import Any

import orjson
import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import NullPool, QueuePool

#: Milliseconds that SQLite waits for another process's write.
SQLITE_BUSY_TIMEOUT = 20_000

#: Seconds for connecting; for a free connection of the pool; for a row's lock; for a statement, and for any answer.
CONNECT_TIMEOUT = 5
POOL_TIMEOUT = 30
LOCK_TIMEOUT = 20
STATEMENT_TIMEOUT = 30
ANSWER_TIMEOUT = 40

#: Seconds after which the server ends a transaction whose client has gone silent, and with it its locks.
SILENCE = 60

#: Seconds of rest after which a connection is tried before it is used.
REST = 5.0

_RESTED_SINCE = "volumed.rested_since"

_POSTGRESQL_SETTINGS = {
    "lock_timeout": f"{LOCK_TIMEOUT}s",
    "statement_timeout": f"{STATEMENT_TIMEOUT}s",
    "idle_in_transaction_session_timeout": f"{SILENCE}s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "timezone": "UTC",
    # Few rows a statement: compiling one costs more than running it.
    "jit": "off",
}

# Without SIMULTANEOUS_ASSIGNMENT an UPDATE's later assignments see what the earlier ones have set.
_MARIADB_SETTINGS = (
    "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,"
    f"SIMULTANEOUS_ASSIGNMENT', innodb_lock_wait_timeout = {LOCK_TIMEOUT}, max_statement_time = {STATEMENT_TIMEOUT},"
    f" idle_transaction_timeout = {SILENCE}, time_zone = '+00:00'"
)

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "sqlite": {"check_same_thread": False, "isolation_level": None, "cached_statements": 512},
    "postgresql": {
        "connect_timeout": CONNECT_TIMEOUT,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        # Milliseconds without an acknowledgement of what was sent (tcp(7)).
        "tcp_user_timeout": 20_000,
        "options": " ".join(f"-c {name}={value}" for name, value in _POSTGRESQL_SETTINGS.items()),
    },
    "mysql": {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": ANSWER_TIMEOUT,
        "write_timeout": 20,
        "init_command": _MARIADB_SETTINGS,
    },
}
_ARGUMENTS["mariadb"] = _ARGUMENTS["mysql"]


def options(url: URL, pool_size: int) -> dict[str, Any]:
    """The arguments of ``create_engine`` for the database of ``url``."""
    backend = url.get_backend_name()
    arguments = {name: value for name, value in _ARGUMENTS.get(backend, {}).items() if name not in url.query}
    common = {
        "json_serializer": _to_json,
        "json_deserializer": orjson.loads,
        "pool_size": pool_size,
        "connect_args": arguments,
    }
    if backend == "sqlite":
        return common | {"poolclass": QueuePool, "max_overflow": 10}
    return common | {"max_overflow": 0, "pool_timeout": POOL_TIMEOUT, "isolation_level": "READ COMMITTED"}


def patient_engine(url: URL) -> Engine:
    """For migrations on a server: statements that may take an hour, each use with a connection of its own."""
    return sqlalchemy.create_engine(url, poolclass=NullPool, isolation_level="READ COMMITTED")


def prepare(engine: Engine) -> None:
    """Have each of the engine's connections made ready, and tried after a rest."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return
    if engine.dialect.driver == "psycopg":
        event.listen(engine, "do_connect", _connect_bounded)
    event.listen(engine, "checkin", _rest)
    event.listen(engine, "checkout", _Try(engine))


def _connect_bounded(dialect: Any, record: Any, arguments: Any, options: dict[str, Any]) -> Any:
    from volumed.db.bounded_psycopg import BoundedConnection

    return BoundedConnection.connect(*arguments, **options)


class _Try:
    """Replaces a connection that was lost while nobody used it; to ask a busy one would cost a round trip each time."""

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect

    def __call__(self, connection: Any, record: Any, proxy: Any) -> None:
        if time.monotonic() - record.info.get(_RESTED_SINCE, time.monotonic()) < REST:
            return
        try:
            self._dialect.do_ping(connection)
        except self._dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error


def _rest(connection: Any, record: Any) -> None:
    record.info[_RESTED_SINCE] = time.monotonic()


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _prepare_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    connection.create_function("volumed_now", 0, lambda: time.time_ns() // 1000)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"busy_timeout = {SQLITE_BUSY_TIMEOUT}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("volumed_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

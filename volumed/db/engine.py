"""Connections and transactions: the one way to write, the one way to read, the one retry rule.

Source of SQLite's settings: sqlite.org/wal.html and sqlite.org/pragma.html#pragma_synchronous (FULL: a commit that was
answered survives a power cut).
"""

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any, Concatenate, ParamSpec, TypeVar

import orjson
import sqlalchemy
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from volumed.db.sealing import SEAL, Seal
from volumed.model.errors import ServiceUnavailable

LOG = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: Milliseconds that SQLite waits for another process's write.
SQLITE_BUSY_TIMEOUT = 20_000

#: Seconds before the first retry of a transaction; doubled with each, with jitter.
RETRY_PAUSE = 0.01

#: Error codes that mean "the same transaction may succeed now": deadlock, serialization failure, lock timeout.
_PASSING_SQLSTATES = frozenset({"40001", "40P01", "55P03"})
_PASSING_MYSQL = frozenset({1205, 1213})


class Database:
    """One database, used by one process. ``url`` is SQLAlchemy's."""

    def __init__(self, url: str, pool_size: int = 10, retries: int = 8, seal: Seal | None = None) -> None:
        """``seal`` is for the secrets in the rows; without it none can be stored or read."""
        self.url = sqlalchemy.make_url(url)
        self.retries = retries
        self._sqlite: bool = self.url.get_backend_name() == "sqlite"
        # One writer at a time is SQLite's rule; a fair lock here is far faster than its busy handler's naps.
        self._writing: AbstractContextManager[Any] = threading.Lock() if self._sqlite else nullcontext()
        self.seal = seal
        self.engine = sqlalchemy.create_engine(self.url, execution_options={SEAL: seal}, **self._options(pool_size))
        if self._sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    def _options(self, pool_size: int) -> dict[str, Any]:
        options: dict[str, Any] = {"json_serializer": _to_json, "json_deserializer": orjson.loads}
        if self._sqlite:
            return options | {
                "poolclass": QueuePool,
                "pool_size": pool_size,
                "max_overflow": 10,
                "connect_args": {"check_same_thread": False, "isolation_level": None, "cached_statements": 512},
            }
        return options | {
            "pool_size": pool_size,
            "max_overflow": 0,
            "pool_pre_ping": True,
            "isolation_level": "READ COMMITTED",
        }

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries that change nothing."""
        with _reporting_absence(), self.engine.connect() as connection:
            yield connection.execution_options(volumed_reading=True)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """The same, and every query sees the rows as the first one did."""
        with self.reading() as connection:
            if not self._sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(tx, ...)`` in ONE transaction and return what it returns; it is run again after a deadlock.

        ``work`` must have no effect but on ``tx``. Raises what it raises, ``ServiceUnavailable`` without a database.
        """
        attempt = 0
        while True:
            try:
                with _reporting_absence(), self._writing, self.engine.begin() as tx:
                    return work(tx, *args, **kwargs)
            except DBAPIError as error:
                if attempt >= self.retries or not _is_passing(error):
                    raise
                pause = RETRY_PAUSE * 2**attempt * random.uniform(0.5, 1.5)
                LOG.debug("transaction is tried again in %.3f s: %s", pause, error.orig)
                attempt += 1
                time.sleep(pause)

    def overwrite(self, work: Callable[[Connection], T]) -> T:
        """As ``write``, and what ``work`` replaces is nowhere in the database's files afterwards."""
        if not self._sqlite:
            return self.write(work)
        done = self.write(_erasing, work)
        with closing(self.engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        return done

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


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


def _erasing(tx: Connection, work: Callable[[Connection], T]) -> T:
    tx.exec_driver_sql("PRAGMA secure_delete = ON")
    return work(tx)


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("volumed_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _is_passing(error: DBAPIError) -> bool:
    original: Any = error.orig
    if isinstance(original, sqlite3.OperationalError):
        return "locked" in str(original) or "busy" in str(original)
    if getattr(original, "sqlstate", None) in _PASSING_SQLSTATES:
        return True
    arguments: tuple[Any, ...] = getattr(original, "args", ())
    return bool(arguments) and arguments[0] in _PASSING_MYSQL


@contextmanager
def _reporting_absence() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if error.connection_invalidated or _is_unusable(error):
            raise ServiceUnavailable(reason=f"the database cannot be used: {error.orig}") from error
        raise


def _is_unusable(error: OperationalError) -> bool:
    text = str(error.orig)
    return any(words in text for words in ("disk is full", "unable to open", "readonly database", "disk I/O error"))

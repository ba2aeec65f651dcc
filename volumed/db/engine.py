"""Transactions: the one way to write, the one way to read, the one retry rule.

A transaction that certainly did not commit is run again: after a deadlock, a serialization failure, and where its
connection was lost before its COMMIT was sent. Where it was lost in the COMMIT, nobody was told what became of it: then
the row is asked that the transaction has put its token into (``prove``). One without a token may run twice.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, TimeoutError

from volumed.db import connecting, trouble
from volumed.db.sealing import SEAL, Seal
from volumed.model.errors import ServiceUnavailable

LOG = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds before the first retry of a transaction, doubled with each, with jitter; and at most.
RETRY_PAUSE = 0.01
LONGEST_PAUSE = 2.0

#: Seconds that a transaction waits for a server that is away, and one whose COMMIT was not answered.
ABSENCE = 3.0
UNCERTAINTY = 20.0

_PROOF = "volumed.proof"


@dataclass(frozen=True, slots=True)
class _Ended:
    """``work`` has ended with a value; only the COMMIT is left."""

    value: Any
    proof: Callable[[Connection], bool] | None


def prove(tx: Connection, has_committed: Callable[[Connection], bool]) -> None:
    """Say how to find out, in another transaction, whether this one has committed. Of several the last one counts."""
    tx.info[_PROOF] = has_committed


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
        self.engine = sqlalchemy.create_engine(
            self.url, execution_options={SEAL: seal}, **connecting.options(self.url, pool_size)
        )
        connecting.prepare(self.engine)
        #: When it was last found to be away, by ``time.monotonic``: nobody could report to it then.
        self.absent_at = float("-inf")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries that change nothing. Raises ``ServiceUnavailable`` without a database."""
        try:
            with self.engine.connect() as connection:
                yield connection.execution_options(volumed_reading=True)
        except (DBAPIError, TimeoutError) as error:
            if trouble.is_absence(error):
                self.absent_at = time.monotonic()
                raise _unavailable(error) from error
            raise

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """The same, and every query sees the rows as the first one did."""
        with self.reading() as connection:
            if not self._sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(tx, ...)`` in ONE transaction and return what it returns; the module says when it is run again.

        ``work`` must have no effect but on ``tx``. Raises what it raises, ``ServiceUnavailable`` without a database.
        """
        patience = self._patience(ABSENCE)
        unsure: _Ended | None = None
        while True:
            ended: _Ended | None = None
            try:
                with self._writing, self.engine.begin() as tx:
                    tx.info.pop(_PROOF, None)
                    ended = _Ended(work(tx, *args, **kwargs), tx.info.pop(_PROOF, None))
                return ended.value  # type: ignore[no-any-return]
            except Exception as error:
                if trouble.is_absence(error):
                    self.absent_at = time.monotonic()
                if ended is not None and trouble.is_lost(error):
                    unsure = ended
                # Asked after any error: run again, it may have met what it had written itself.
                if unsure is not None and self._has_committed(unsure):
                    return unsure.value  # type: ignore[no-any-return]
                patience.wait_after(error)

    def _has_committed(self, ended: _Ended) -> bool:
        """Look for the transaction's token. Raises ``ServiceUnavailable`` when that cannot be done in time."""
        if ended.proof is None:
            return False
        patience = self._patience(UNCERTAINTY)
        while True:
            try:
                with self._writing, self.engine.begin() as tx:
                    return ended.proof(tx)
            except Exception as error:
                try:
                    patience.wait_after(error)
                except ServiceUnavailable as absence:
                    reason = f"{absence.fields['reason']}; it is not known whether what was asked has been stored"
                    raise ServiceUnavailable(reason=reason) from error

    def _patience(self, absence: float) -> "_Patience":
        """SQLite's file does not come back by itself."""
        return _Patience(self.retries, 0.0 if self._sqlite else absence)

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


class _Patience:
    """What one transaction waits for, all in all."""

    def __init__(self, retries: int, absence: float) -> None:
        self._retries = retries
        self._absence = absence
        self._until: float | None = None
        self._attempts = 0

    def wait_after(self, error: Exception) -> None:
        """Sleep before the next try. Raises ``error`` when that is of no use, ``ServiceUnavailable`` too late."""
        if trouble.is_absence(error):
            self._until = self._until or time.monotonic() + self._absence
            if isinstance(error, TimeoutError) or time.monotonic() >= self._until:
                raise _unavailable(error) from error
        elif not trouble.may_pass(error):
            raise error
        elif self._attempts >= self._retries:
            raise _unavailable(error) from error
        pause = min(RETRY_PAUSE * 2**self._attempts, LONGEST_PAUSE) * random.uniform(0.5, 1.5)
        LOG.debug("transaction is tried again in %.3f s: %s", pause, error)
        self._attempts += 1
        time.sleep(pause)


def _erasing(tx: Connection, work: Callable[[Connection], T]) -> T:
    tx.exec_driver_sql("PRAGMA secure_delete = ON")
    return work(tx)


def _unavailable(error: Exception) -> ServiceUnavailable:
    return ServiceUnavailable(reason=f"the database cannot be used: {getattr(error, 'orig', error)}")

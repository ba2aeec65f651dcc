"""What is handed on or forgotten in the background, and is not.

``outbox.stuck``: events that nobody publishes; the broker is to be looked at, so there is no repair. ``keys.kept``:
idempotency keys long past their time.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from volumed.db import findings, idempotency
from volumed.db.engine import Database
from volumed.doctor.case import Case
from volumed.model.findings import Finding
from volumed.model.records import Operation

#: Seconds that an event may wait; they are published every second.
PATIENCE = 60.0

#: Times its retention that a key may be old: it is forgotten every ten minutes, or by its next use.
OVERDUE = 2


class HousekeepingCheck:
    """``retention`` of keys is in seconds. ``serving``: a publisher is at work."""

    def __init__(self, database: Database, retention: float, serving: bool) -> None:
        self._database = database
        self._retention = retention
        self._serving = serving

    def look(self) -> Iterable[Case]:
        with self._database.reading() as tx:
            waiting, seconds = findings.unpublished(tx, PATIENCE)
            kept = findings.keys_kept(tx, self._retention * OVERDUE)
        if waiting and self._serving:
            yield _stuck(waiting, seconds)
        if kept:
            yield self._kept(kept)

    def _kept(self, number: int) -> Case:
        finding = Finding(
            kind="keys.kept",
            subject_type="idempotency keys",
            subject="idempotency_keys",
            evidence=f"{number} idempotency keys are older than {OVERDUE} times idempotency_retention",
            repair="forget them",
        )

        def write(tx: Connection, operation: Operation) -> None:
            while idempotency.prune(tx, self._retention):
                pass

        return Case(finding, write=write)


def _stuck(waiting: int, seconds: int) -> Case:
    evidence = f"{waiting} events are not published, the oldest for {seconds} s; the log of the publisher says why"
    return Case(Finding("outbox.stuck", "events", "events", evidence, None))

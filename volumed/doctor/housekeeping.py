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
from volumed.operations.housekeeping import SPACING

#: Seconds that an event may wait; they are published every second.
PATIENCE = 60.0

#: Rounds of housekeeping that may pass before a key is forgotten whose time is over, where its retention is short.
ROUNDS = 3


class HousekeepingCheck:
    """``retention`` of keys is in seconds. ``serving``: a publisher is at work."""

    def __init__(self, database: Database, retention: float, serving: bool) -> None:
        self._database = database
        self._retention = retention
        self._longest = retention + max(retention, ROUNDS * SPACING)
        self._serving = serving

    def look(self) -> Iterable[Case]:
        with self._database.reading() as tx:
            waiting, seconds = findings.unpublished(tx, PATIENCE)
            kept = findings.keys_kept(tx, self._longest)
        if waiting and self._serving:
            yield _stuck(waiting, seconds)
        if kept:
            yield self._kept(kept)

    def _kept(self, number: int) -> Case:
        finding = Finding(
            kind="keys.kept",
            subject_type="idempotency keys",
            subject="idempotency_keys",
            evidence=f"{number} idempotency keys are older than {self._longest:.0f} s; "
            f"idempotency_retention is {self._retention:.0f} s",
            repair="forget them",
        )

        def write(tx: Connection, operation: Operation) -> None:
            while idempotency.prune(tx, self._retention):
                pass

        return Case(finding, write=write)


def _stuck(waiting: int, seconds: int) -> Case:
    evidence = f"{waiting} events are not published, the oldest for {seconds} s; the log of the publisher says why"
    return Case(Finding("outbox.stuck", "events", "events", evidence, None))

"""Forgets what was kept long enough: ended operations, published events, answers to idempotency keys.

Every service looks whether it is time, and one of them does it, in small batches that hold nobody up.
"""

import logging
from collections.abc import Callable

from sqlalchemy import Connection

from volumed.db import events, idempotency, leaders, operations
from volumed.db.engine import Database
from volumed.operations.periodic import PeriodicTask

LOG = logging.getLogger(__name__)

TASK = "housekeeping"

#: Seconds between two rounds, and between two looks whether one is due: the first as soon as a service starts, or
#: services that never live long would never come to it.
SPACING, LOOK = 600.0, 60.0


class Housekeeping:
    """``operation_retention`` and ``idempotency_retention`` in seconds, see the options."""

    def __init__(
        self, database: Database, holder: str, operation_retention: float, idempotency_retention: float
    ) -> None:
        self._database = database
        self._holder = holder
        self._operation_retention = operation_retention
        self._idempotency_retention = idempotency_retention

    def task(self) -> PeriodicTask:
        """As a service runs it."""
        return PeriodicTask("housekeeping", self.tidy, LOOK)

    def tidy(self) -> None:
        """Forget everything that is due, if it is time for a round."""
        if not leaders.turn(self._database, TASK, self._holder, SPACING):
            return
        forgotten = (
            self._all(operations.prune, self._operation_retention),
            self._all(events.prune, self._operation_retention),
            self._all(idempotency.prune, self._idempotency_retention),
        )
        if any(forgotten):
            LOG.info("forgot %d operations, %d events, %d idempotency keys", *forgotten)

    def _all(self, prune: Callable[[Connection, float, int], int], retention: float) -> int:
        total = 0
        while pruned := self._database.write(prune, retention, 200):
            total += pruned
        return total

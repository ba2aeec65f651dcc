"""Publishes events from the outbox: at least once, and in order for each resource.

Any number of processes may run one; the database elects who publishes. While there is nothing to publish, a look is one
query and no write.
"""

import logging
from collections.abc import Callable

from volumed.db import events, leaders
from volumed.db.engine import Database
from volumed.model.records import Event
from volumed.operations.sweep import Sweep

LOG = logging.getLogger(__name__)

TASK = "publish events"

#: Seconds for which a publisher is elected; one that dies is followed after that.
TERM = 15.0

#: Events of one batch.
BATCH = 200


class Publisher:
    """Hands events to ``send`` every ``interval`` seconds as ``holder``; ``send`` raises when it could not."""

    def __init__(self, database: Database, send: Callable[[Event], None], holder: str, interval: float = 1.0) -> None:
        self._database = database
        self._send = send
        self._holder = holder
        self._sweep = Sweep("outbox", interval, self.publish)

    def start(self) -> None:
        self._sweep.start()

    def stop(self) -> None:
        self._sweep.stop()

    def publish(self) -> None:
        """Publish all that is waiting, if this process is elected; what fails is tried again by the next look."""
        while True:
            with self._database.reading() as tx:
                waiting = events.unpublished(tx, BATCH)
            if not waiting or not leaders.lead(self._database, TASK, self._holder, TERM):
                return
            self._database.write(events.number)
            if not self._publish(waiting):
                return

    def _publish(self, waiting: list[Event]) -> bool:
        sent = []
        try:
            for event in waiting:
                self._send(event)
                sent.append(event.id)
        except Exception as error:
            LOG.warning("event %s of %s was not published: %s", event.event_type, event.resource_id, error)
        self._database.write(events.mark_published, sent)
        return len(sent) == len(waiting)

"""Hands events to whoever listens: oslo.messaging's notifications.

Knows the wire form of an event (docs/rpc.md); knows nothing of when it is published, or again.
"""

from typing import Any

import oslo_messaging
from oslo_config import cfg

from volumed.model.records import Event


class Notifier:
    """Sends with the drivers of ``[oslo_messaging_notifications]``; without one an event goes nowhere, which is fine.

    ``retry`` is oslo.messaging's option; by default a send waits until the broker is back.
    """

    def __init__(self, conf: cfg.ConfigOpts, transport: Any) -> None:
        drivers = conf.oslo_messaging_notifications.driver
        self._notifier = oslo_messaging.Notifier(transport, publisher_id=f"volumed.{conf.host}") if drivers else None

    def send(self, event: Event) -> None:
        """Send ``event`` with its place in its resource's order, so that a listener can drop a repeat."""
        if self._notifier is None:
            return
        payload = event.payload | {"sequence": event.sequence, "operation_id": event.operation_id}
        context = {"request_id": event.request_id, "project_id": event.project_id}
        if event.event_type.endswith(".error"):
            self._notifier.error(context, event.event_type, payload)
        else:
            self._notifier.info(context, event.event_type, payload)

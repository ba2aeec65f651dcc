"""Hands events to whoever listens: oslo.messaging's notifications.

Knows the wire form of an event (docs/rpc.md); knows nothing of when it is published, or again.
"""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import oslo_messaging
from oslo_config import cfg

from volumed.model.records import Event

#: Drivers that publish on the broker, with the version of their messages' form. Of these oslo.messaging logs an error
#: and goes on, which would lose an event; here it is raised.
_ON_BROKER: Final[Mapping[str, float]] = {"messaging": 1.0, "messagingv2": 2.0}

#: Attempts after the first; whoever publishes tries again by himself.
_RETRIES: Final = 1

_Send = Callable[[dict[str, Any], dict[str, Any], str], None]


class Notifier:
    """Sends with the drivers of ``[oslo_messaging_notifications]``; without one an event goes nowhere, and is done."""

    def __init__(self, conf: cfg.ConfigOpts, transport: Any) -> None:
        options = conf.oslo_messaging_notifications
        self._publisher_id = f"volumed.{conf.host}"
        self._senders: list[_Send] = [
            partial(_publish, transport, topic, version)
            for driver, version in _ON_BROKER.items()
            if driver in options.driver
            for topic in options.topics
        ]
        if others := [driver for driver in options.driver if driver not in _ON_BROKER]:
            self._senders.append(_by_library(transport, self._publisher_id, others))

    def send(self, event: Event) -> None:
        """Send ``event`` with its place in its resource's order, so that a listener can drop a repeat.

        Raises what the broker's driver raises where it is not known to have taken it.
        """
        payload = event.payload | {"sequence": event.sequence, "operation_id": event.operation_id}
        context = {"request_id": event.request_id, "project_id": event.project_id}
        priority = "error" if event.event_type.endswith(".error") else "info"
        message = {
            "message_id": str(uuid.uuid4()),
            "publisher_id": self._publisher_id,
            "event_type": event.event_type,
            "priority": priority.upper(),
            "payload": payload,
            "timestamp": datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" "),
        }
        for send in self._senders:
            send(context, message, priority)


def _publish(
    transport: Any, topic: str, version: float, context: dict[str, Any], message: dict[str, Any], priority: str
) -> None:
    target = oslo_messaging.Target(topic=f"{topic}.{priority}")
    transport._send_notification(target, context, message, version=version, retry=_RETRIES)


def _by_library(transport: Any, publisher_id: str, drivers: list[str]) -> _Send:
    """Drivers that write a log, or a test's."""
    notifiers = [oslo_messaging.Notifier(transport, publisher_id=publisher_id, driver=driver) for driver in drivers]

    def send(context: dict[str, Any], message: dict[str, Any], priority: str) -> None:
        for notifier in notifiers:
            getattr(notifier, priority)(context, message["event_type"], message["payload"])

    return send

"""oslo.messaging's connection to RabbitMQ, with an end to its patience and a word when its queues are back.

Left to itself it tries again for ever in places where a caller waits: for the reply queue of a call, for a reply, in
the thread of the heartbeat that holds the connection meanwhile (docs/libraries.md). Only consuming may go on for ever:
nobody waits for it. Knows oslo.messaging's insides, release 18.3; knows nothing of methods.
"""

import logging
from collections.abc import Callable
from typing import Any

from oslo_messaging._drivers import impl_rabbit

LOG = logging.getLogger(__name__)

#: Attempts after the first, where the driver would go on for ever.
RETRIES = 1

#: Bytes of a request at most: arguments are ids and small plain values, the largest is a report of capabilities.
LARGEST_MESSAGE = 1 << 20


class Connection(impl_rabbit.Connection):  # type: ignore[misc]
    """Calls ``redeclared`` when its queues, lost with an earlier connection, are declared again."""

    def __init__(
        self, redeclared: Callable[[], None], conf: Any, url: Any, purpose: Any, retry: int | None = None
    ) -> None:
        self._redeclared = redeclared
        super().__init__(conf, url, purpose, retry=_bounded(retry))

    def ensure(
        self,
        method: Any,
        retry: int | None = None,
        recoverable_error_callback: Any = None,
        error_callback: Any = None,
        timeout_is_error: bool = True,
    ) -> Any:
        """Only who consumes, and has a bound of its own for each attempt, may try for ever."""
        bounded = retry if recoverable_error_callback is not None else _bounded(retry)
        return super().ensure(method, bounded, recoverable_error_callback, error_callback, timeout_is_error)

    def declare_consumer(self, consumer: Any) -> Any:
        if consumer.type != "direct":
            consumer.callback = _sized(consumer.callback)
        return super().declare_consumer(consumer)

    def _set_current_channel(self, new_channel: Any) -> None:
        changed = new_channel is not None and new_channel != self.channel
        super()._set_current_channel(new_channel)
        if changed and any(consumer.type == "topic" for consumer in self._consumers):
            self._redeclared()


def _bounded(retry: int | None) -> int | None:
    """None stands for ever, and is bounded; whoever says -1 means it."""
    if retry is None:
        return RETRIES
    return None if retry < 0 else retry


def _sized(callback: Callable[[Any], None]) -> Callable[[Any], None]:
    def take(message: Any) -> None:
        size = len(message._raw_message.body or b"")
        if size > LARGEST_MESSAGE:
            raise ValueError(f"a message of {size} bytes is too large; {LARGEST_MESSAGE} are taken")
        callback(message)

    return take

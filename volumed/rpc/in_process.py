"""kombu's virtual transport between the threads of one process, without polling.

kombu's own memory transport polls, which costs a whole core while nothing happens (docs/libraries.md), and its queues
have no end. Here a consumer sleeps until a message is put into a queue of its own, and a queue that nobody empties
drops what exceeds its bound: a message is a wake-up call, the row it is about is the truth.

Knows kombu's transport interface; knows nothing of RPC.
"""

# kombu's virtual transport has annotations in part, and some of them are wrong.
# mypy: disable-error-code="no-untyped-call, override, assignment, union-attr, misc"

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, virtual

LOG = logging.getLogger(__name__)

#: The name in URLs: ``kombu+in-process:///NAME``. Transports with the same NAME reach each other.
SCHEME = "in-process"

#: Messages that one queue holds at most.
MOST_WAITING = 10_000

#: Seconds after which a sleeping consumer is let go, so that oslo.messaging sees when it is to stop.
LONGEST_SLEEP = 0.2


def register() -> None:
    """Make kombu know the scheme."""
    TRANSPORT_ALIASES.setdefault(SCHEME, f"{__name__}:Transport")


class Broker:
    """The queues and bindings that the transports of one name share."""

    def __init__(self) -> None:
        self.state = virtual.BrokerState()
        self._guard = threading.Lock()
        self._waiting: dict[str, deque[Any]] = {}
        self._consumers: dict[str, list[threading.Event]] = {}
        self._private: set[str] = set()
        #: Queues whose loss was said in the log and lasts.
        self._dropping: set[str] = set()

    def declare(self, queue: str, private: bool = False) -> None:
        """Have ``queue``; a ``private`` one goes with its last consumer."""
        with self._guard:
            self._waiting.setdefault(queue, deque())
            if private:
                self._private.add(queue)

    def has(self, queue: str) -> bool:
        return queue in self._waiting

    def put(self, queue: str, message: Any) -> None:
        """Add ``message`` and wake who consumes ``queue``; a full or unknown queue drops it."""
        with self._guard:
            waiting = self._waiting.get(queue)
            if waiting is None or len(waiting) >= MOST_WAITING:
                self._drop(queue)
                return
            self._dropping.discard(queue)
            waiting.append(message)
            consumers = tuple(self._consumers.get(queue, ()))
        for consumer in consumers:
            consumer.set()

    def _drop(self, queue: str) -> None:
        if queue not in self._dropping:
            LOG.warning("messages for queue %s are dropped: %s", queue, "full" if self.has(queue) else "nobody has it")
        self._dropping.add(queue)

    def get(self, queue: str) -> Any:
        """Take the oldest message. Raises ``queue.Empty``."""
        try:
            return self._waiting[queue].popleft()
        except (KeyError, IndexError):
            raise Empty from None

    def size(self, queue: str) -> int:
        return len(self._waiting.get(queue, ()))

    def purge(self, queue: str) -> int:
        """Drop all messages of ``queue`` and say how many there were."""
        with self._guard:
            waiting = self._waiting.get(queue, deque())
            count = len(waiting)
            waiting.clear()
        return count

    def delete(self, queue: str) -> None:
        with self._guard:
            self._waiting.pop(queue, None)

    def subscribe(self, queue: str, arrival: threading.Event) -> None:
        """Set ``arrival`` whenever something is put into ``queue``, and now."""
        with self._guard:
            self._consumers.setdefault(queue, []).append(arrival)
        arrival.set()

    def unsubscribe(self, arrival: threading.Event) -> None:
        """Forget ``arrival``, and with it the private queues that nobody consumes any more."""
        with self._guard:
            for queue in [name for name, found in self._consumers.items() if arrival in found]:
                self._consumers[queue] = [other for other in self._consumers[queue] if other is not arrival]
                if not self._consumers[queue]:
                    del self._consumers[queue]
                    self._forget(queue)

    def _forget(self, queue: str) -> None:
        if queue in self._private:
            self._private.discard(queue)
            self._dropping.discard(queue)
            self._waiting.pop(queue, None)
            self.state.queue_bindings_delete(queue)
            for exchange in self.state.exchanges.values():
                exchange["table"] = [binding for binding in exchange["table"] if binding[2] != queue]


class _Brokers:
    """The brokers of this process by name: a URL has to find the same one again."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._found: dict[str, Broker] = {}

    def named(self, name: str) -> Broker:
        with self._guard:
            return self._found.setdefault(name, Broker())


_BROKERS = _Brokers()


class Channel(virtual.Channel):
    """Puts and gets on the transport's broker."""

    do_restore = False
    supports_fanout = True
    body_encoding = None

    def __init__(self, connection: Any, **options: Any) -> None:
        self.events: defaultdict[str, set[Any]] = defaultdict(set)
        super().__init__(connection, **options)

    @property
    def _broker(self) -> Broker:
        broker: Broker = self.connection.broker
        return broker

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], consumer_tag: str, **options: Any
    ) -> None:
        super().basic_consume(queue, no_ack, callback, consumer_tag, **options)
        self._broker.subscribe(queue, self.connection.arrival)

    def _has_queue(self, queue: str, **options: Any) -> bool:
        return self._broker.has(queue)

    def _new_queue(self, queue: str, **options: Any) -> None:
        self._broker.declare(queue, private="x-expires" in (options.get("arguments") or {}))

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        return self._broker.get(queue)

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        self._broker.put(queue, message)

    def _put_fanout(self, exchange: str, message: Any, routing_key: str | None = None, **options: Any) -> None:
        for queue in self._lookup(exchange, routing_key):
            self._broker.put(queue, message)

    def _queue_bind(self, *arguments: Any) -> None:
        """The exchange's table, which the channel keeps itself, is enough."""

    def _size(self, queue: str) -> int:
        return self._broker.size(queue)

    def _delete(self, queue: str, *arguments: Any, **options: Any) -> None:
        self._broker.delete(queue)

    def _purge(self, queue: str) -> int:
        return self._broker.purge(queue)

    def after_reply_message_received(self, queue: str) -> None:
        """A reply queue serves all calls of its connection."""


class Transport(virtual.Transport):
    """One connection to the broker that its URL names."""

    Channel = Channel
    driver_type = SCHEME
    driver_name = SCHEME

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.broker = _BROKERS.named(client.hostname or "")
        self.state = self.broker.state
        self.arrival = threading.Event()

    def driver_version(self) -> str:
        return "-"

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Deliver one message, or wait until there may be one. Raises ``TimeoutError`` after a while without."""
        self.arrival.clear()
        try:
            self.cycle.get(self._deliver, timeout=timeout)
        except Empty:
            if not self.arrival.wait(LONGEST_SLEEP if timeout is None else min(timeout, LONGEST_SLEEP)):
                raise TimeoutError from None

    def close_connection(self, connection: Any) -> None:
        self.broker.unsubscribe(self.arrival)
        super().close_connection(connection)

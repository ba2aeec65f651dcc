"""RPC over RabbitMQ: our casts and calls beside those of bare oslo.messaging, and beside what kombu publishes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from volumed.launch import concurrency

concurrency.choose_threading()

import oslo_messaging  # noqa: E402
from kombu import Connection, Exchange, Queue  # noqa: E402

from bench.figure import Figure, p50  # noqa: E402
from tests.lab import rabbitmq  # noqa: E402
from tests.lab.rpc_ends import EXCHANGE, configured, rpc_ends  # noqa: E402

CASTS, CALLS = 3_000, 1_000

DURABLE = {"amqp_durable_queues": True}


def rpc() -> Iterator[Figure]:
    """Casts a second, from the first to the arrival of the last; milliseconds of a call."""
    with rabbitmq.server() as server, server.access.vhost() as vhost:
        kombu = _published(vhost.url)
        with bare(vhost.url) as (client, heard):
            casts = _casts(lambda: client.cast({}, "tell", word="x"), heard)
            calls = p50(lambda: client.call({}, "ask"), CALLS)
        with rpc_ends(configured(vhost.url, **DURABLE)) as ends:
            ends.ask()
            ours = _casts(lambda: ends.tell("x"), ends.ear.heard)
            asked = p50(lambda: ends.ask(), CALLS)
    beside = "bare oslo.messaging, the same queues"
    yield Figure("casts/s, heard", ours, "/s", "-", casts, beside, more_is_better=True)
    yield Figure("casts/s, heard", ours, "/s", "-", kombu, "kombu, published with confirms", more_is_better=True)
    yield Figure("call, p50", asked, "ms", "-", calls, beside)


def _casts(cast: Callable[[], object], heard: list[str]) -> float:
    """A second; no more wait to be sent than are kept."""
    before, began = len(heard), time.perf_counter()
    for number in range(CASTS):
        while number - (len(heard) - before) > 500:
            time.sleep(0.001)
        cast()
    while len(heard) - before < CASTS:
        time.sleep(0.001)
    return CASTS / (time.perf_counter() - began)


class _Bare:
    """The endpoint of ``tests.lab.rpc_ends`` with nothing of ours around it."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @oslo_messaging.expose
    def tell(self, context: Any, word: str) -> None:
        self.heard.append(word)

    @oslo_messaging.expose
    def ask(self, context: Any) -> list[str]:
        return []


@contextmanager
def bare(url: str) -> Iterator[tuple[Any, list[str]]]:
    """A client of stock oslo.messaging, and what its server has heard."""
    conf, ear = configured(url, **DURABLE), _Bare()
    listening, sending = (oslo_messaging.get_rpc_transport(conf) for _ in range(2))
    target = oslo_messaging.Target(exchange=EXCHANGE, topic="bare", server="bare")
    policy = oslo_messaging.ExplicitRPCAccessPolicy
    server = oslo_messaging.get_rpc_server(listening, target, [ear], executor="threading", access_policy=policy)
    server.start(override_pool_size=2)
    client = oslo_messaging.get_rpc_client(sending, target, timeout=60)
    client.call({}, "ask")
    try:
        yield client, ear.heard
    finally:
        server.stop()
        server.wait()
        for transport in (listening, sending):
            transport.cleanup()


def _published(url: str) -> float:
    """Messages a second that kombu publishes, each confirmed by the broker."""
    queue = Queue("kombu", Exchange("kombu", durable=True), "kombu", durable=True)
    options = {"confirm_publish": True}
    with Connection(url.replace("rabbit://", "amqp://"), transport_options=options) as connection:
        producer = connection.Producer()
        publish = {"exchange": queue.exchange, "routing_key": "kombu", "declare": [queue], "retry": False}
        producer.publish({"word": "x"}, **publish)
        began = time.perf_counter()
        for _ in range(CASTS):
            producer.publish({"word": "x"}, **publish)
        return CASTS / (time.perf_counter() - began)

"""Both ends of RPC on a broker: something that listens and something that sends, each with a connection of its own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from volumed import conf as configuration
from volumed.model.context import RequestContext
from volumed.rpc.dispatcher import RpcDispatcher
from volumed.rpc.listener import Listener
from volumed.rpc.messenger import Messenger
from volumed.rpc.transport import close, make_transport, register_options

CALLER = RequestContext("u", "p", False, "req-ends")

TOPIC = "topic"
SERVER = "host@backend"
EXCHANGE = "volumed"

#: Seconds for what happens by itself; a reconnection takes a few.
PATIENCE = 100.0


def until(condition: Callable[[], Any]) -> None:
    """Wait until it is true. Fails after ``PATIENCE``."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


class Ear:
    """An endpoint that notes what it is told."""

    RPC_VERSION = "1.4"
    RPC_METHODS = ("tell", "ask")

    def __init__(self) -> None:
        self.heard: list[str] = []

    def tell(self, context: RequestContext, word: str) -> None:
        self.heard.append(word)

    def ask(self, context: RequestContext) -> list[str]:
        return self.heard


@dataclass
class Ends:
    """What listens (``listener``, ``ear``) and what sends (``messenger``); ``back`` is set when it listens again."""

    listener: Listener
    messenger: Messenger
    ear: Ear
    back: threading.Event = field(default_factory=threading.Event)

    def ask(self, server: str | None = SERVER) -> Any:
        return self.messenger.call(CALLER, TOPIC, "ask", {}, "1.0", server=server)

    def tell(self, word: str, server: str | None = SERVER, fanout: bool = False) -> bool:
        return self.messenger.cast(CALLER, TOPIC, "tell", {"word": word}, "1.0", server=server, fanout=fanout)

    def until(self, condition: Callable[[], Any]) -> None:
        until(condition)

    def until_heard(self, word: str, server: str | None = SERVER, fanout: bool = False) -> None:
        """A cast is a wake-up call: it is repeated until one arrives."""
        deadline = time.monotonic() + PATIENCE
        while word not in self.ear.heard:
            assert time.monotonic() < deadline, f"{word} was not heard"
            self.tell(word, server, fanout)
            time.sleep(0.2)


def configured(url: str, **options: Any) -> Any:
    """A configuration with the broker at ``url``; ``options`` are oslo.messaging's of RabbitMQ."""
    conf = configuration.load()
    register_options(conf)
    conf.set_default("transport_url", url)
    for name, value in options.items():
        conf.set_override(name, value, group="oslo_messaging_rabbit")
    return conf


@contextmanager
def rpc_ends(conf: Any, timeout: float = 60.0, start: bool = True) -> Iterator[Ends]:
    """Both, started; ``timeout`` (seconds) bounds the calls."""
    listening, sending = make_transport(conf), make_transport(conf)
    ear, back = Ear(), threading.Event()
    listener = Listener(listening, EXCHANGE, TOPIC, SERVER, RpcDispatcher([ear]), 2, back.set)
    ends = Ends(listener, Messenger(sending, EXCHANGE, timeout), ear, back)
    if start:
        listener.start()
    try:
        yield ends
    finally:
        listener.stop()
        for transport in (listening, sending):
            close(transport)

"""The broker between the threads of one process."""

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import kombu
import pytest

from volumed.rpc import in_process
from volumed.rpc.in_process import MOST_WAITING, Broker


@pytest.fixture
def connect() -> Iterator[Any]:
    in_process.register()
    url = f"in-process://{uuid.uuid4().hex}"
    opened = []

    def one() -> kombu.Connection:
        opened.append(kombu.Connection(url))
        return opened[-1]

    yield one
    for connection in opened:
        connection.release()


def test_a_sleeping_consumer_gets_a_message_at_once(connect: Any) -> None:
    got: list[Any] = []
    queue = kombu.Queue("q", kombu.Exchange("e", type="topic"), routing_key="q")
    with connect() as consuming, connect() as sending:
        with kombu.Consumer(
            consuming, [queue], callbacks=[lambda body, message: got.append((body, time.monotonic()))], no_ack=True
        ):
            sender = threading.Timer(0.05, lambda: kombu.Producer(sending).publish({"n": 1}, "q", exchange="e"))
            sender.start()
            while not got:
                try:
                    consuming.drain_events(timeout=5)
                except TimeoutError:
                    continue
            sender.join()
    assert got[0][0] == {"n": 1}


def test_waiting_costs_no_processor_time(connect: Any) -> None:
    with connect() as connection, kombu.Consumer(connection, [kombu.Queue("q")], no_ack=True):
        before = time.thread_time()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.1)
        assert time.thread_time() - before < 0.02


def test_a_private_queue_goes_with_its_consumer(connect: Any) -> None:
    exchange = kombu.Exchange("everybody", type="fanout")
    with connect() as sending:
        with connect() as connection:
            mine = kombu.Queue("mine", exchange, queue_arguments={"x-expires": 1000})
            with kombu.Consumer(connection, [mine], no_ack=True):
                broker = connection.transport.broker
                kombu.Producer(sending).publish("hello", exchange="everybody")
                assert broker.size("mine") == 1
        assert not broker.has("mine")
        kombu.Producer(sending).publish("nobody hears", exchange="everybody")
        assert not broker.has("mine")


def test_a_queue_that_nobody_empties_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker()
    broker.declare("q")
    for number in range(MOST_WAITING + 5):
        broker.put("q", number)
    assert broker.size("q") == MOST_WAITING
    assert caplog.text.count("dropped") == 1


def test_a_message_for_nobody_is_dropped_and_said() -> None:
    broker = Broker()
    broker.put("absent", 1)
    assert not broker.has("absent")

"""A broker that is away, silent, cut off or back again: nobody waits for it, and its queues are there again with it."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import rabbitmq
from tests.lab.bare_rig import bare_rig
from tests.lab.proxy import Proxy
from tests.lab.rabbitmq import Vhost
from tests.lab.rpc_ends import Ends, configured, rpc_ends
from volumed.db import operations, volumes
from volumed.model.errors import ServiceUnavailable
from volumed.model.states import VolumeStatus
from volumed.rpc.patience import MOST_WAITING
from volumed.rpc.transport import close, make_transport

pytestmark = pytest.mark.part("rabbitmq-server")

#: How a server's connection declares its first queue: class 50, method 10, the queue's name (AMQP 0-9-1, 1.7.2.1).
QUEUE_DECLARE = b"\x00\x32\x00\x0a\x00\x00\x05topic"

#: A silence is noticed after twice these seconds.
HEARTBEAT = 4


@pytest.fixture
def proxy(vhost: Vhost) -> Iterator[Proxy]:
    """The network between the services and the broker."""
    with Proxy(vhost.access.amqp) as proxy:
        yield proxy


@pytest.fixture
def ends(vhost: Vhost, proxy: Proxy) -> Iterator[Ends]:
    """Through the proxy; a call is bounded by 3 s."""
    conf = configured(vhost.url_at(proxy.port), heartbeat_timeout_threshold=HEARTBEAT)
    with rpc_ends(conf, timeout=3) as ends:
        ends.until_heard("first")
        ends.until(lambda: answers(ends))
        yield ends


def answers(ends: Ends) -> bool:
    try:
        return bool(ends.ask())
    except ServiceUnavailable:
        return False


def test_after_a_cut_messages_arrive_again_on_every_queue(ends: Ends, proxy: Proxy) -> None:
    proxy.cut()
    assert ends.back.wait(100)
    ends.until_heard("to the server")
    ends.until_heard("to the topic", server=None)
    ends.until_heard("to all", server=None, fanout=True)
    ends.until(lambda: answers(ends))


def test_who_closes_connections_at_the_broker_finds_them_again(ends: Ends, vhost: Vhost) -> None:
    ends.until(lambda: len(vhost.connections()) >= 3)
    vhost.close_connections()
    assert ends.back.wait(100)
    ends.until_heard("again")


def test_connections_that_fall_silent_are_given_up_and_made_again(ends: Ends, proxy: Proxy) -> None:
    proxy.lose()
    assert not answers(ends)
    assert ends.back.wait(100)
    ends.until_heard("again")
    ends.until(lambda: answers(ends))


def test_what_a_short_silence_held_back_arrives_after_it(ends: Ends, proxy: Proxy) -> None:
    proxy.drop()
    ends.tell("held back")
    proxy.restore()
    ends.until(lambda: "held back" in ends.ear.heard)


def test_a_connection_that_falls_silent_before_its_queues_are_declared_is_given_up(ends: Ends, proxy: Proxy) -> None:
    silent = proxy.drop_from(QUEUE_DECLARE)
    proxy.cut()
    assert silent.wait(100)
    # That connection says nothing more, ever; others work.
    assert ends.back.wait(100)
    ends.until_heard("again")


@pytest.mark.parametrize("trouble", ["refuse", "drop"])
def test_casts_wait_for_nobody(ends: Ends, proxy: Proxy, trouble: str) -> None:
    getattr(proxy, trouble)()
    taken = [ends.tell(f"word {number}") for number in range(MOST_WAITING + 100)]
    assert taken[:100] == [True] * 100
    assert taken[-1] is False
    proxy.restore()
    ends.until_heard("again")


@pytest.mark.parametrize("trouble", ["refuse", "drop"])
def test_calls_are_bounded_also_the_first_of_a_connection(ends: Ends, proxy: Proxy, vhost: Vhost, trouble: str) -> None:
    conf = configured(vhost.url_at(proxy.port), heartbeat_timeout_threshold=HEARTBEAT)
    getattr(proxy, trouble)()
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        ends.ask()
    with rpc_ends(conf, timeout=1, start=False) as new, pytest.raises(ServiceUnavailable, match="does not answer"):
        new.ask()
    proxy.restore()
    ends.until(lambda: answers(ends))


@pytest.mark.parametrize("trouble", ["refuse", "drop"])
def test_a_start_goes_on_without_a_broker_and_says_so_until_it_comes(proxy: Proxy, vhost: Vhost, trouble: str) -> None:
    getattr(proxy, trouble)()
    with rpc_ends(configured(vhost.url_at(proxy.port)), timeout=3) as ends:
        assert ends.listener.trouble is not None
        ends.until(lambda: "the broker cannot be reached" in str(ends.listener.trouble))
        assert not ends.back.is_set()
        proxy.restore()
        assert ends.back.wait(100)
        assert ends.listener.trouble is None
        ends.until_heard("hello")


@pytest.mark.parametrize("trouble", ["refuse", "drop"])
def test_a_stop_does_not_wait_for_a_broker(ends: Ends, proxy: Proxy, trouble: str) -> None:
    """The end of the fixture is a second stop, which finds nothing to do."""
    getattr(proxy, trouble)()
    ends.listener.stop()
    close(make_transport(configured("rabbit://guest:guest@127.0.0.1:1/")))


def test_after_a_reconnection_a_service_sweeps_its_queue_at_once(vhost: Vhost, proxy: Proxy, tmp_path: Path) -> None:
    """What it was not woken for meanwhile is not left to the next sweep, which never comes here."""
    with bare_rig(tmp_path, vhost.url_at(proxy.port), sweep_interval=36_000) as rig:
        volume_id, operation_id = rig.finished_volume(), str(uuid.uuid4())
        delete = operations.NewOperation(
            operation_id, "volume.delete", "volume", volume_id, volume_id, "p", "u", "req-rpc", rig.host
        )
        rig.database.write(volumes.move, volume_id, VolumeStatus.AVAILABLE, VolumeStatus.DELETING)
        rig.database.write(operations.add, delete)
        proxy.cut()
        rig.until(lambda: rig.read(volumes.find, volume_id) is None, patience=100)


@pytest.mark.fleet
def test_a_broker_that_is_stopped_killed_and_started_again_is_found_again() -> None:
    with rabbitmq.server() as server:
        conf = configured(Vhost(server.access, "").url, heartbeat_timeout_threshold=HEARTBEAT)
        with rpc_ends(conf, timeout=3) as ends:
            ends.until_heard("first")
            server.pause()
            assert not answers(ends)
            server.resume()
            ends.until(lambda: answers(ends))
            ends.back.clear()
            server.kill()
            assert not answers(ends)
            server.start()
            assert ends.back.wait(100)
            ends.until_heard("again")
            ends.until(lambda: answers(ends))

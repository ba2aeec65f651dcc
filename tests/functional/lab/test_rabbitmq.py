"""The private RabbitMQ: what its users rely on."""

import pytest
import requests
from kombu import Connection

from tests.lab import rabbitmq
from tests.lab.rabbitmq import Vhost

pytestmark = pytest.mark.part("rabbitmq-server")


def test_the_run_shares_one_and_each_test_has_a_vhost_of_its_own(vhost: Vhost) -> None:
    assert rabbitmq.shared() == vhost.access
    with vhost.access.vhost() as other:
        with Connection(other.url.replace("rabbit:", "amqp:")) as connection:
            queue = connection.SimpleQueue("mine")
            queue.put("hello")
            assert queue.get(timeout=60).payload == "hello"
            queue.close()
        assert list(other.queues()) == ["mine"]
        assert vhost.queues() == {}
    with pytest.raises(requests.HTTPError, match="404"):
        other.queues()


@pytest.mark.fleet
def test_one_of_a_tests_own_is_stopped_killed_and_started_again_with_what_is_durable() -> None:
    with rabbitmq.server() as server:
        vhost = Vhost(server.access, "%2F")
        for end in (server.stop, server.kill):
            with Connection(vhost.url.replace("rabbit:", "amqp:"), transport_options={"confirm_publish": True}) as used:
                kept = used.SimpleQueue("kept")
                kept.put("hello")
                kept.close()
            end()
            with pytest.raises(requests.ConnectionError):
                vhost.queues()
            server.start()
            with Connection(vhost.url.replace("rabbit:", "amqp:")) as used:
                kept = used.SimpleQueue("kept")
                message = kept.get(timeout=60)
                assert message.payload == "hello"
                message.ack()
                kept.close()

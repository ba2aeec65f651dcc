"""What only a real broker shows: its queues as documented, TLS, and messages that are none."""

import json
import logging
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange

from tests.lab.certificates import Authority
from tests.lab.rabbitmq import Vhost
from tests.lab.rpc_ends import EXCHANGE, SERVER, TOPIC, Ends, configured, rpc_ends
from volumed.model.errors import ServiceUnavailable
from volumed.rpc.connection import LARGEST_MESSAGE

pytestmark = pytest.mark.part("rabbitmq-server")

#: Options, and what they make of the queues of topics and of the others: type and durability.
KINDS: dict[str, tuple[dict[str, bool], tuple[str, bool], tuple[str, bool]]] = {
    "transient": ({"amqp_durable_queues": False}, ("classic", False), ("classic", False)),
    "durable, as it is by default": ({}, ("classic", True), ("classic", False)),
    "quorum": ({"rabbit_quorum_queue": True}, ("quorum", True), ("classic", False)),
    "all quorum": (
        {"rabbit_quorum_queue": True, "rabbit_transient_quorum_queue": True},
        ("quorum", True),
        ("quorum", True),
    ),
}


@pytest.fixture
def ends(vhost: Vhost) -> Iterator[Ends]:
    with rpc_ends(configured(vhost.url)) as ends:
        yield ends


@pytest.mark.parametrize("kind", KINDS)
def test_the_queues_are_as_documented_and_work(vhost: Vhost, kind: str) -> None:
    options, topics, others = KINDS[kind]
    with rpc_ends(configured(vhost.url, **options)) as ends:
        assert ends.ask() == []
        ends.tell("one")
        ends.tell("two", server=None)
        ends.tell("three", server=None, fanout=True)
        ends.until(lambda: sorted(ends.ear.heard) == ["one", "three", "two"])
        found = vhost.queues()
    for name in (TOPIC, f"{TOPIC}.{SERVER}"):
        assert (found[name]["type"], found[name]["durable"]) == topics
        assert "x-expires" not in found[name]["arguments"]
    rest = {name: queue for name, queue in found.items() if name not in {TOPIC, f"{TOPIC}.{SERVER}"}}
    assert sorted(name.split("_")[0] for name in rest) == ["reply", TOPIC]
    for queue in rest.values():
        assert (queue["type"], queue["durable"]) == others
        assert queue["arguments"]["x-expires"] == 1_800_000
    bound = {(binding["source"], binding["destination"]) for binding in vhost.bindings() if binding["source"]}
    assert bound >= {(EXCHANGE, TOPIC), (EXCHANGE, f"{TOPIC}.{SERVER}")}


def test_what_is_durable_waits_for_a_service_that_is_away(vhost: Vhost) -> None:
    conf = configured(vhost.url)
    with rpc_ends(conf) as ends:
        ends.until_heard("first")
    with rpc_ends(conf, start=False) as ends:
        ends.tell("while away")
        ends.until(lambda: vhost.queues()[f"{TOPIC}.{SERVER}"].get("messages") == 1)
        ends.listener.start()
        ends.until(lambda: ends.ear.heard == ["while away"])


def test_a_service_listens_on_one_connection(vhost: Vhost) -> None:
    conf = configured(vhost.url)
    with rpc_ends(conf) as ends:
        ends.until(lambda: len(vhost.connections()) == 1)
        assert ends.ask() == []
        # One more to listen for answers, one to send; and the service's own to send them.
        ends.until(lambda: len(vhost.connections()) == 4)


def _enveloped(word: str) -> bytes:
    """A message that tells ``word``, in oslo.messaging's envelope."""
    message = {"method": "tell", "args": {"word": word}, "version": "1.0", "_unique_id": uuid.uuid4().hex}
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)}).encode()


#: What is put into a queue: body, content type, content encoding.
POISON: dict[str, tuple[Any, str, str]] = {
    "not JSON": (b"\xff\x00 no json", "application/json", "utf-8"),
    "half an envelope": (b'{"oslo.version": "2.0"', "application/json", "utf-8"),
    "no envelope": (b'["a", 1]', "application/json", "utf-8"),
    "an envelope of another version": (b'{"oslo.version": "9.0", "oslo.message": "{}"}', "application/json", "utf-8"),
    "pickled": (b"\x80\x04K\x01.", "application/x-python-serialize", "binary"),
    "of an unknown type": (b"?", "application/x-nothing", "utf-8"),
    "empty": (b"", "application/json", "utf-8"),
    "too large": (_enveloped("x" * LARGEST_MESSAGE), "application/json", "utf-8"),
}


@pytest.mark.parametrize("poison", POISON)
def test_a_poisoned_message_is_logged_and_skipped_on_every_queue(
    ends: Ends, vhost: Vhost, poison: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    body, content_type, content_encoding = POISON[poison]
    assert ends.ask() == []
    with Connection(vhost.url.replace("rabbit:", "amqp:"), transport_options={"confirm_publish": True}) as connection:
        for exchange, key in ((EXCHANGE, TOPIC), (EXCHANGE, f"{TOPIC}.{SERVER}"), (f"{TOPIC}_fanout", "")):
            connection.Producer().publish(
                body,
                exchange=Exchange(exchange, passive=True),
                routing_key=key,
                content_type=content_type,
                content_encoding=content_encoding,
            )
    ends.until(lambda: len(re.findall("skipping it|was answered with NoSuchMethod", caplog.text)) >= 3)
    for server in (None, SERVER):
        assert ends.ask(server) == []
    ends.tell("to all", server=None, fanout=True)
    ends.until(lambda: ends.ear.heard == ["to all"])
    ends.until(lambda: all(queue.get("messages") == 0 for queue in vhost.queues().values()))


def tls(vhost: Vhost, **changed: Any) -> Any:
    access = vhost.access
    options = {
        "ssl": True,
        "ssl_ca_file": access.authority,
        "ssl_cert_file": access.certificate,
        "ssl_key_file": access.key,
    }
    return configured(vhost.tls_url, **(options | changed))


def test_tls_with_a_private_authority_and_a_client_certificate(vhost: Vhost) -> None:
    with rpc_ends(tls(vhost)) as ends:
        assert ends.ask() == []
        ends.until(lambda: len(vhost.connections()) == 4)
        assert all(connection["ssl"] and connection["peer_cert_subject"] for connection in vhost.connections())


@pytest.mark.parametrize(
    "changed",
    [{"ssl_cert_file": "", "ssl_key_file": ""}, {"ssl_ca_file": "another"}],
    ids=["without a client certificate", "with another authority"],
)
def test_a_connection_that_tls_forbids_is_not_made(vhost: Vhost, changed: dict[str, str], tmp_path: Path) -> None:
    if "ssl_ca_file" in changed:
        changed = {"ssl_ca_file": str(Authority(tmp_path, changed["ssl_ca_file"]).file)}
    with rpc_ends(tls(vhost, **changed), timeout=5) as ends:
        assert ends.listener.trouble is not None
        with pytest.raises(ServiceUnavailable):
            ends.ask()
    assert vhost.connections() == []

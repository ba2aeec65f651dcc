"""The transport of AMQP's URLs is ours, whoever used kombu before."""

import pytest
from kombu import Connection
from kombu import transport as transports
from kombu.transport import pyamqp

from volumed.rpc import amqp


@pytest.mark.parametrize("alias", ["amqp", "amqps", "pyamqp"])
def test_a_transport_that_kombu_has_looked_up_before_is_replaced(monkeypatch: pytest.MonkeyPatch, alias: str) -> None:
    monkeypatch.setitem(transports.TRANSPORT_ALIASES, alias, "kombu.transport.pyamqp:Transport")
    monkeypatch.setattr(transports, "_transport_cache", {})
    assert Connection(f"{alias}://").get_transport_cls() is pyamqp.Transport
    amqp.register()
    assert Connection(f"{alias}://").get_transport_cls() is amqp.Transport

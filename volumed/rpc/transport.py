"""Makes connections to the broker, and what listens on one.

Knows oslo.messaging's traps (docs/libraries.md); knows nothing of methods.
"""

import copy
import functools
import logging
from collections.abc import Callable
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_messaging import opts
from oslo_messaging._metrics import client as metrics
from oslo_messaging._tracing import client as tracing

from volumed.rpc import amqp, in_process
from volumed.rpc.connection import Connection
from volumed.rpc.dispatcher import RpcDispatcher
from volumed.rpc.patience import within

LOG = logging.getLogger(__name__)

#: Modules whose errors a caller builds again as what they are.
ERROR_MODULES = ["volumed.model.errors"]

#: All services in one process: no broker.
IN_PROCESS_URL = f"kombu+{in_process.SCHEME}:///volumed"

#: oslo.messaging's own options where its defaults are slow to notice, or to come back; docs/rpc.md has the reasons.
BETTER_DEFAULTS = {
    "heartbeat_timeout_threshold": 10,
    "kombu_reconnect_delay": 0.25,
    "kombu_reconnect_splay": 0.5,
    "rabbit_retry_interval": 1,
    "rabbit_retry_backoff": 1,
    "rabbit_interval_max": 2,
    "kombu_missing_consumer_retry_timeout": 5,
    "amqp_durable_queues": True,
}

#: The options of RabbitMQ that an operator thinks about, in the order of the sample configuration.
BROKER_OPTIONS = (
    "amqp_durable_queues",
    "rabbit_quorum_queue",
    "rabbit_transient_quorum_queue",
    "rabbit_quorum_delivery_limit",
    "rabbit_transient_queues_ttl",
    "ssl",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_key_file",
    "heartbeat_timeout_threshold",
    "heartbeat_rate",
    "kombu_reconnect_delay",
    "kombu_reconnect_splay",
    "rabbit_retry_interval",
    "rabbit_retry_backoff",
    "rabbit_interval_max",
    "kombu_missing_consumer_retry_timeout",
)

#: Seconds for the farewell to a broker.
FAREWELL = 5.0


class Connections:
    """Makes a transport's connections, and hears when one of them has declared its queues again."""

    def __init__(self) -> None:
        #: Called in the thread of the connection, which waits meanwhile.
        self.redeclared: list[Callable[[], None]] = []

    def __call__(self, conf: Any, url: Any, purpose: Any, retry: int | None = None) -> Connection:
        return Connection(self._tell, conf, url, purpose, retry)

    def _tell(self) -> None:
        for told in self.redeclared:
            try:
                told()
            except Exception:
                LOG.exception("who waits for the broker's return failed to hear of it")


@functools.cache
def known_options() -> tuple[tuple[str, list[Any]], ...]:
    """Every option that oslo.messaging reads, by group. It copies them all each time that it tells them: 15 ms."""
    return (
        *((group or "DEFAULT", list(options)) for group, options in opts.list_opts()),
        ("oslo_messaging_tracing", tracing.oslo_messaging_tracing),
        ("oslo_messaging_metrics", metrics.oslo_messaging_metrics),
    )


def sample_options() -> list[tuple[str, list[Any]]]:
    """``BROKER_OPTIONS`` and ``transport_url`` with the defaults that are in force, by group."""
    found = {option.dest: copy.copy(option) for _, options in known_options() for option in options}
    for name, value in BETTER_DEFAULTS.items():
        found[name].default = value
    return [
        ("DEFAULT", [found["transport_url"]]),
        ("oslo_messaging_rabbit", [found[name] for name in BROKER_OPTIONS]),
    ]


def register_options(conf: cfg.ConfigOpts) -> None:
    """Register them all; on a ``ConfigOpts`` of one's own oslo.messaging misses some."""
    for group, options in known_options():
        conf.register_opts(options, group=None if group == "DEFAULT" else group)
    for name, value in BETTER_DEFAULTS.items():
        conf.set_default(name, value, group="oslo_messaging_rabbit")


def is_in_process(conf: cfg.ConfigOpts) -> bool:
    """Whether the broker is this process itself, which never keeps anybody waiting."""
    return str(conf.transport_url).startswith(f"kombu+{in_process.SCHEME}:")


def make_transport(conf: cfg.ConfigOpts) -> Any:
    """What connects to the broker at the configured ``transport_url``; it connects when it is first used."""
    _prepare(conf)
    return _bounded(oslo_messaging.get_rpc_transport(conf, allowed_remote_exmods=ERROR_MODULES))


def make_notification_transport(conf: cfg.ConfigOpts) -> Any:
    """What events go through; made for it, or to the same broker when ``transport_url`` of its own group is unset."""
    _prepare(conf)
    return _bounded(oslo_messaging.get_notification_transport(conf, allowed_remote_exmods=ERROR_MODULES))


def make_server(transport: Any, exchange: str, topic: str, server: str, dispatcher: RpcDispatcher) -> Any:
    """What consumes the queues ``topic``, ``topic.server`` and a fanout queue of its own."""
    target = oslo_messaging.Target(exchange=exchange, topic=topic, server=server)
    return oslo_messaging.rpc.server.RPCServer(transport, target, dispatcher)


def on_redeclared(transport: Any, told: Callable[[], None]) -> None:
    """Have ``told`` called whenever the queues of the transport's server were lost and are declared again."""
    connections = _connections(transport)
    if connections is not None:
        connections.redeclared.append(told)


def close(transport: Any) -> None:
    """Let go of the connections; a broker that is away is not waited for."""
    try:
        within(FAREWELL, transport.cleanup)
    except Exception as error:
        LOG.warning("the broker was left without a farewell: %s", error or "it is silent")


def _prepare(conf: cfg.ConfigOpts) -> None:
    register_options(conf)
    amqp.register()
    if is_in_process(conf):
        in_process.register()
        conf.set_default("heartbeat_timeout_threshold", 0, group="oslo_messaging_rabbit")


def _bounded(transport: Any) -> Any:
    """The same with connections of our own, where it speaks AMQP."""
    pool = getattr(transport._driver, "_connection_pool", None)
    if pool is not None:
        pool.connection_cls = Connections()
    return transport


def _connections(transport: Any) -> Connections | None:
    found = getattr(getattr(transport._driver, "_connection_pool", None), "connection_cls", None)
    return found if isinstance(found, Connections) else None

"""Makes connections to the broker, and what listens on one.

Knows oslo.messaging's traps (docs/libraries.md); knows nothing of methods.
"""

import functools
from typing import Any

import oslo_messaging
from oslo_config import cfg
from oslo_messaging import opts
from oslo_messaging._metrics import client as metrics
from oslo_messaging._tracing import client as tracing

from volumed.rpc import in_process
from volumed.rpc.dispatcher import RpcDispatcher

#: Modules whose errors a caller builds again as what they are.
ERROR_MODULES = ["volumed.model.errors"]

#: All services in one process: no broker.
IN_PROCESS_URL = f"kombu+{in_process.SCHEME}:///volumed"


@functools.cache
def known_options() -> tuple[tuple[str, list[Any]], ...]:
    """Every option that oslo.messaging reads, by group. It copies them all each time that it tells them: 15 ms."""
    return (
        *((group or "DEFAULT", list(options)) for group, options in opts.list_opts()),
        ("oslo_messaging_tracing", tracing.oslo_messaging_tracing),
        ("oslo_messaging_metrics", metrics.oslo_messaging_metrics),
    )


def register_options(conf: cfg.ConfigOpts) -> None:
    """Register them all; on a ``ConfigOpts`` of one's own oslo.messaging misses some."""
    for group, options in known_options():
        conf.register_opts(options, group=None if group == "DEFAULT" else group)


def make_transport(conf: cfg.ConfigOpts) -> Any:
    """A connection of its own to the broker at the configured ``transport_url``."""
    register_options(conf)
    if conf.transport_url.startswith(f"kombu+{in_process.SCHEME}:"):
        in_process.register()
        conf.set_default("heartbeat_timeout_threshold", 0, group="oslo_messaging_rabbit")
    return oslo_messaging.get_rpc_transport(conf, allowed_remote_exmods=ERROR_MODULES)


def make_notification_transport(conf: cfg.ConfigOpts) -> Any:
    """A connection for events; made for it, or to the same broker when ``transport_url`` of its own group is unset."""
    register_options(conf)
    return oslo_messaging.get_notification_transport(conf, allowed_remote_exmods=ERROR_MODULES)


def make_server(transport: Any, exchange: str, topic: str, server: str, dispatcher: RpcDispatcher) -> Any:
    """What consumes the queues ``topic``, ``topic.server`` and a fanout queue of its own."""
    target = oslo_messaging.Target(exchange=exchange, topic=topic, server=server)
    return oslo_messaging.rpc.server.RPCServer(transport, target, dispatcher)

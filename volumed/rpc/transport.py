"""Makes connections to the broker, and what listens on one.

Knows oslo.messaging's traps (docs/libraries.md); knows nothing of methods.
"""

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
IN_PROCESS_URL = f"kombu+{in_process.SCHEME}:///"


def register_options(conf: cfg.ConfigOpts) -> None:
    """Register everything that oslo.messaging reads; on a ``ConfigOpts`` of one's own it does not do so itself."""
    for group, options in opts.list_opts():
        conf.register_opts(options, group=group)
    conf.register_opts(tracing.oslo_messaging_tracing, group="oslo_messaging_tracing")
    conf.register_opts(metrics.oslo_messaging_metrics, group="oslo_messaging_metrics")


def make_transport(conf: cfg.ConfigOpts, url: str | None = None) -> Any:
    """A connection of its own to the broker at ``url``, by default the configured ``transport_url``."""
    register_options(conf)
    in_process.register()
    return oslo_messaging.get_rpc_transport(conf, url=url, allowed_remote_exmods=ERROR_MODULES)


def make_server(transport: Any, exchange: str, topic: str, server: str, dispatcher: RpcDispatcher) -> Any:
    """What consumes the queues ``topic``, ``topic.server`` and a fanout queue of its own."""
    target = oslo_messaging.Target(exchange=exchange, topic=topic, server=server)
    return oslo_messaging.rpc.server.RPCServer(transport, target, dispatcher)

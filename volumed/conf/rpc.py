"""RPC. The broker itself is set with oslo.messaging's own ``transport_url``."""

from oslo_config import cfg

GROUP = "rpc"

OPTIONS = [
    cfg.StrOpt("control_exchange", default="volumed", help="Exchange of all topics."),
    cfg.FloatOpt("response_timeout", default=30, min=0.1, help="Seconds that a call waits for its answer."),
    cfg.IntOpt("workers", default=4, min=1, help="Threads of a service that take messages; they only check and wake."),
]

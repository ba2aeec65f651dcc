"""What every service has."""

import socket

from oslo_config import cfg

GROUP = "DEFAULT"

OPTIONS = [
    cfg.HostAddressOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<hostname>",
        help="Name of this node, the part before the @ in host@backend. Must not change while volumes exist.",
    ),
    cfg.ListOpt(
        "enabled_backends",
        default=[],
        help="Names of the backends that this node serves; each has a group of that name and a service of its own.",
    ),
    cfg.StrOpt(
        "storage_availability_zone", default="nova", help="Availability zone of this node's services and pools."
    ),
    cfg.FloatOpt(
        "report_interval", default=10, min=0.1, help="Seconds between two reports of a service that it is alive."
    ),
    cfg.FloatOpt(
        "service_down_time",
        default=60,
        min=0.2,
        help="Seconds without a report after which a service counts as down; well above report_interval.",
    ),
    cfg.FloatOpt("periodic_interval", default=60, min=0.1, help="Seconds between two runs of the periodic tasks."),
    cfg.FloatOpt(
        "periodic_fuzzy_delay",
        default=60,
        min=0,
        help="The first run of the periodic tasks is delayed by a random number of seconds up to this one.",
    ),
    cfg.FloatOpt(
        "capability_interval",
        default=30,
        min=0.1,
        help="Seconds between two reports of a backend's capabilities to the schedulers; it also reports at once after"
        " a change.",
    ),
    cfg.FloatOpt(
        "graceful_shutdown_timeout",
        default=30,
        min=0,
        mutable=True,
        help="Seconds that a stopping service gives to the work that runs; what is left is resumed by the next start.",
    ),
    cfg.FloatOpt(
        "restart_pause_max",
        default=60,
        min=1,
        help="Seconds that volumed-volume waits at most before it starts a backend's process again that keeps dying.",
    ),
    cfg.BoolOpt("debug", default=False, mutable=True, help="Log details too."),
]

"""A backend's own group: the options that every driver has. A driver adds its own when it is made."""

from oslo_config import cfg

GROUP = "backend"

OPTIONS = [
    cfg.StrOpt(
        "volume_driver",
        default="file",
        help="Driver: the name of an entry point in volumed.drivers, or a class path; Cinder's paths are understood.",
    ),
    cfg.StrOpt("volume_backend_name", default=None, help="Name in capabilities; default is the group's name."),
    cfg.StrOpt("backend_availability_zone", default=None, help="Availability zone, where it differs from the node's."),
    cfg.IntOpt("reserved_percentage", default=0, min=0, max=100, help="Percent of the pool never to be given out."),
    cfg.FloatOpt(
        "max_over_subscription_ratio",
        default=20.0,
        min=1,
        help="How many times its size a thin pool may promise.",
    ),
    cfg.BoolOpt(
        "export_on_create",
        default=False,
        help="Export a volume when it is created (the classic way) and not only when it is attached.",
    ),
    cfg.StrOpt("target_helper", default="tgt", help="Target: the name of an entry point in volumed.targets."),
    cfg.StrOpt("target_ip_address", default="127.0.0.1", help="Address on which the target listens."),
    cfg.PortOpt("target_port", default=3260, help="Port on which the target listens; 0 takes a free one, for good."),
    cfg.StrOpt(
        "target_prefix", default="iqn.2010-10.org.openstack:", help="Beginning of the target's IQN; the volume follows."
    ),
]


def register(conf: cfg.ConfigOpts, name: str) -> None:
    """Register the common options for the backend's group ``name``."""
    conf.register_opts(OPTIONS, group=name)

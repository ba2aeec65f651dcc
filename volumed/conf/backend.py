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
        help="How many times its size a thin pool may promise; Cinder's auto is not understood.",
    ),
    cfg.BoolOpt(
        "export_on_create",
        default=False,
        help="Export a volume when it is created (the classic way) and not only when it is attached.",
    ),
    cfg.StrOpt(
        "target_helper",
        default="tgt",
        deprecated_name="iscsi_helper",
        help="Target: the name of an entry point in volumed.targets, such as tgt and lio; tgtadm and lioadm work too.",
    ),
    cfg.StrOpt(
        "target_protocol",
        default="iscsi",
        deprecated_name="iscsi_protocol",
        choices=[("iscsi", "all that tgt and lio speak here")],
        help="Protocol of the target; there is no iSER and no NVMe over fabrics.",
    ),
    cfg.StrOpt(
        "target_ip_address",
        default="127.0.0.1",
        deprecated_name="iscsi_ip_address",
        help="Address on which the target listens, and which initiators are told.",
    ),
    cfg.ListOpt(
        "iscsi_secondary_ip_addresses",
        default=[],
        deprecated_name="target_secondary_ip_addresses",
        help="Addresses on which the target listens beside the first one; initiators are told all.",
    ),
    cfg.PortOpt(
        "target_port",
        default=3260,
        deprecated_name="iscsi_port",
        help="Port on which the target listens; 0 takes a free one, for good (tgt only).",
    ),
    cfg.StrOpt(
        "target_prefix",
        default="iqn.2010-10.org.openstack:",
        deprecated_name="iscsi_target_prefix",
        help="Beginning of the target's IQN; the volume follows.",
    ),
    cfg.BoolOpt(
        "use_chap_auth",
        default=True,
        help="An initiator needs its attachment's secret. False (lio only, tgt asks for it): its name is enough.",
    ),
    cfg.BoolOpt(
        "iscsi_write_cache",
        default=False,
        help="Answer writes before they are on disk; the initiator must flush. Off: what was answered is on disk."
        " Only for files over lio.",
    ),
    cfg.StrOpt(
        "volumes_dir",
        default=None,
        help="Folder of the targets' files that an earlier manager wrote for tgt-admin: understood, then removed.",
    ),
    cfg.StrOpt(
        "lio_helper_socket",
        default="/run/volumed/lio.sock",
        help="Socket of volumed-lio, the privileged helper of this node that target_helper = lio asks.",
    ),
]


def register(conf: cfg.ConfigOpts, name: str) -> None:
    """Register the common options for the backend's group ``name``."""
    conf.register_opts(OPTIONS, group=name)

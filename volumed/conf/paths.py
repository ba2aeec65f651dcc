"""Where things are on this node."""

from oslo_config import cfg

GROUP = "DEFAULT"

OPTIONS = [
    cfg.StrOpt(
        "state_path",
        default="/var/lib/volumed",
        help="Folder of what this node keeps: locks, sockets, the embedded database and the file backend's pool.",
    ),
]

"""Default quotas of a project; -1 is unlimited."""

from oslo_config import cfg

GROUP = "quota"

OPTIONS = [
    cfg.IntOpt("volumes", default=10, min=-1, help="Volumes of one project."),
    cfg.IntOpt("gigabytes", default=1000, min=-1, help="GiB of all volumes and snapshots of one project."),
    cfg.IntOpt("snapshots", default=10, min=-1, help="Snapshots of one project."),
    cfg.IntOpt("per_volume_gigabytes", default=-1, min=-1, help="GiB of one volume."),
    cfg.BoolOpt("no_snapshot_gb_quota", default=False, help="Do not count snapshots in gigabytes."),
    cfg.BoolOpt(
        "count_until_purged",
        default=False,
        help="Count a deleted volume until what is left of it on its storage (a wipe, a trash) is free, too.",
    ),
]

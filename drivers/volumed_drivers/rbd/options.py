"""The options of an RBD backend, named as Cinder names them where Cinder has them."""

from collections.abc import Mapping
from typing import Final

from oslo_config import cfg

#: Seconds, where nobody says how many.
CONNECT_TIMEOUT: Final = 10

#: Options that operators have in their files from Cinder's driver, and why nothing here depends on them.
WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "rados_connection_retries": "a start is tried until the cluster is there, and an operation for as long as it may",
    "rados_connection_interval": "the pauses between tries grow by themselves",
    "replication_connect_timeout": "there is no replication",
    "report_dynamic_total_capacity": "the size told is what is stored and what is free, or the pool's quota",
    "rbd_concurrent_flatten_operations": "[operations] idle_workers bounds what is flattened and purged at once",
    "deferred_deletion_purge_interval": "a deleted volume is purged by an operation of its own, when its time is over",
}

OPTIONS = [
    cfg.StrOpt("rbd_pool", default="volumes", help="Pool of the images."),
    cfg.StrOpt("rbd_namespace", default="", help="Namespace of the images in the pool; empty for the pool's own."),
    cfg.StrOpt("rbd_user", default=None, help="Name of the Ceph client, without 'client.'; default is Ceph's."),
    cfg.StrOpt("rbd_ceph_conf", default="", help="Ceph's configuration file; empty where Ceph looks by itself."),
    cfg.StrOpt("rbd_cluster_name", default="ceph", help="Name of the cluster: of its files, and told to connectors."),
    cfg.StrOpt("rbd_secret_uuid", default=None, help="Id of libvirt's secret with the key, told to connectors."),
    cfg.BoolOpt(
        "rbd_flatten_volume_from_snapshot",
        default=False,
        help="Make volumes from snapshots independent of them, in the background.",
    ),
    cfg.IntOpt(
        "rbd_max_clone_depth",
        default=5,
        min=0,
        help="Clones upon clones that a volume may rest on before it is flattened in the background; 0: none at all.",
    ),
    cfg.IntOpt("rbd_store_chunk_size", default=4, min=1, max=32, help="Size of an image's objects, MiB; a power of 2."),
    cfg.BoolOpt(
        "rbd_exclusive_cinder_pool",
        default=False,
        help="Nobody else has images in the pool: do not sweep it for what others' images promise.",
    ),
    cfg.IntOpt(
        "rados_connect_timeout",
        default=CONNECT_TIMEOUT,
        min=-1,
        help=f"Seconds that connecting to the cluster may take; 0 and -1 mean {CONNECT_TIMEOUT}, and never for ever.",
    ),
    cfg.IntOpt("rados_osd_op_timeout", default=30, min=1, help="Seconds that one request to an OSD may take."),
    cfg.IntOpt("rados_mon_op_timeout", default=10, min=1, help="Seconds that one request to a monitor may take."),
    cfg.BoolOpt("report_discard_supported", default=True, help="Tell connectors that discard frees space."),
    cfg.BoolOpt("enable_deferred_deletion", default=False, help="Keep deleted volumes in the trash for a time."),
    cfg.IntOpt("deferred_deletion_delay", default=0, min=0, help="Seconds for which they are kept."),
    *(
        cfg.StrOpt(name, default=None, help=f"Cinder's; it has no effect, and is warned of: {reason}.")
        for name, reason in WITHOUT_EFFECT.items()
    ),
]

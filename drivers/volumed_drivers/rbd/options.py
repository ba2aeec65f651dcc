"""The options of an RBD backend, named as Cinder names them where Cinder has them."""

from oslo_config import cfg

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
        help="Clones upon clones that a volume may rest on before it is flattened in the background; 0: never.",
    ),
    cfg.IntOpt("rbd_store_chunk_size", default=4, min=1, max=32, help="Size of an image's objects, MiB; a power of 2."),
    cfg.IntOpt("rados_connect_timeout", default=10, min=1, help="Seconds that connecting to the cluster may take."),
    cfg.IntOpt("rados_osd_op_timeout", default=30, min=1, help="Seconds that one request to an OSD may take."),
    cfg.IntOpt("rados_mon_op_timeout", default=10, min=1, help="Seconds that one request to a monitor may take."),
    cfg.BoolOpt("report_discard_supported", default=True, help="Tell connectors that discard frees space."),
    cfg.BoolOpt("enable_deferred_deletion", default=False, help="Keep deleted volumes in the trash for a time."),
    cfg.IntOpt("deferred_deletion_delay", default=0, min=0, help="Seconds for which they are kept."),
]

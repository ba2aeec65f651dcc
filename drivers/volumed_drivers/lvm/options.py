"""The options of an LVM backend, by the names that Cinder gave them where it has them."""

from typing import Any

from oslo_config import cfg

from volumed_drivers.lvm.hands import unread

OPTIONS = [
    cfg.StrOpt("volume_group", default="cinder-volumes", help="The volume group; one backend has it for itself."),
    cfg.StrOpt(
        "lvm_type",
        default="auto",
        choices=[
            ("thin", "thin volumes of the group's pool"),
            ("thick", "ordinary logical volumes"),
            ("auto", "thin where the pool exists or the group has nothing in it, else thick"),
        ],
        help="Kind of the volumes.",
    ),
    cfg.StrOpt(
        "lvm_thin_pool", default=None, help="The thin pool; default is the group's name and '-pool'. Made if missing."
    ),
    cfg.IntOpt("lvm_mirrors", default=0, min=0, help="Copies of each thick volume beyond the first, on other disks."),
    cfg.StrOpt(
        "lvm_conf_file",
        default="/etc/cinder/lvm.conf",
        help="LVM's configuration, a file lvm.conf; the default's need not be there. volumed-lvm is told its own by"
        " --lvm-conf.",
    ),
    cfg.FloatOpt(
        "lvm_max_over_subscription_ratio",
        default=None,
        min=1,
        help="How many times its size the pool may promise; default is max_over_subscription_ratio. Cinder's auto is"
        " not understood.",
    ),
    cfg.BoolOpt(
        "lvm_suppress_fd_warnings", default=True, help="Have LVM not complain of descriptors that it inherits."
    ),
    cfg.StrOpt(
        "volume_clear",
        default="zero",
        choices=[("zero", "overwrite a deleted thick volume with zeros"), ("none", "free it as it is")],
        help="What happens to a deleted thick volume. A new one reads as zeros in either case.",
    ),
    cfg.IntOpt(
        "volume_clear_size", default=0, min=0, help="MiB to clear at the beginning of a volume; 0 is all of it."
    ),
    cfg.IntOpt("volume_clear_rate", default=0, min=0, help="MiB a second at most that are cleared; 0 is no limit."),
    cfg.StrOpt(
        "lvm_helper_socket",
        default="",
        help="Socket of volumed-lvm, the privileged helper of this node (/run/volumed/lvm.sock), for a service that is"
        " not root; empty: this process runs LVM's commands.",
    ),
    cfg.StrOpt("lvm_root_helper", default="", help="Command before each LVM command, such as 'sudo -n'; empty: none."),
    cfg.FloatOpt("lvm_command_timeout", default=120.0, min=1, help="Seconds after which an LVM command is killed."),
    cfg.FloatOpt(
        "lvm_read_interval", default=10.0, min=0, help="Seconds for which what LVM said of the group is good."
    ),
    cfg.FloatOpt(
        "lvm_pool_full_percent",
        default=95.0,
        min=1,
        max=100,
        help="Percent of a thin pool's data or metadata from which on nothing new is made in it.",
    ),
    cfg.FloatOpt(
        "lvm_pool_extend_percent",
        default=0.0,
        min=0,
        max=100,
        help="Percent of a thin pool's data or metadata from which on it is grown with what the group has; 0: never.",
    ),
    cfg.IntOpt("lvm_pool_extend_step", default=10, min=1, help="Percent of its size by which a thin pool is grown."),
]

#: How this process runs LVM's commands: the helper is told its own, so that here they would do nothing.
_OF_THIS_PROCESS = ("lvm_root_helper", "lvm_conf_file", "lvm_suppress_fd_warnings")


def said_in_vain(options: Any) -> list[str]:
    """The options that are set although it is the helper that runs LVM's commands."""
    return [name for name in _OF_THIS_PROCESS if options.lvm_helper_socket and _is_set(options, name)]


def unread_configuration(options: Any) -> str | None:
    """Why LVM's commands would not read the configuration that this process was told to give them."""
    if options.lvm_helper_socket or not _is_set(options, "lvm_conf_file"):
        return None
    return unread(options.lvm_conf_file)


def _is_set(options: Any, name: str) -> bool:
    (default,) = (option.default for option in OPTIONS if option.dest == name)
    return getattr(options, name) not in (default, "", None)

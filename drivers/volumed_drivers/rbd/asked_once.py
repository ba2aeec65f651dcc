"""What librbd asks the pool for each new image, and is always told the same: asked once a connection.

Two of the nine requests of a create (measured with librbd 16). Knows librbd's questions; knows nothing of volumes.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from volumed_drivers.rbd.connection import Connection, Link

#: What librbd writes into ``rbd_info`` once a pool has taken images (librbd, ValidatePoolRequest).
_VALIDATED: Final = b"overwrite validated"


def of_new_images(connection: Connection, link: Link) -> dict[str, Any]:
    """Arguments of ``RBD.create``: the features that the pool or the configuration wants, and the OSDs have.

    None while nothing was made in the pool: then librbd asks itself. Raises as rados and rbd do.
    """
    if link.features is None:
        _ask(connection, link)
    return {} if link.features is None else {"features": link.features}


def _ask(connection: Connection, link: Link) -> None:
    """As librbd does (CreateRequest), unless it is told the features, and that the pool is validated."""
    known = _answer(connection, lambda: link.ioctx.execute("rbd_directory", "rbd", "get_all_features", b"")[1])
    if known is None:
        return
    # In a namespace, and where the data go to another pool, librbd goes on asking.
    is_validated = _answer(connection, lambda: link.ioctx.read("rbd_info")) == _VALIDATED
    if is_validated and not _wanted(connection, link, "rbd_default_data_pool"):
        link.cluster.conf_set("rbd_validate_pool", "false")
    wanted = _wanted(connection, link, "rbd_default_features")
    link.features = connection.modules.rbd.RBD().features_from_string(wanted) & struct.unpack("<Q", known)[0]


def _answer(connection: Connection, ask: Callable[[], bytes]) -> bytes | None:
    """None where there is no such object."""
    try:
        return ask()
    except connection.modules.rados.ObjectNotFound:
        return None


def _wanted(connection: Connection, link: Link, option: str) -> str:
    """The pool's own value of the option, else the configuration's."""
    try:
        return str(connection.modules.rbd.RBD().config_get(link.ioctx, option))
    except KeyError:
        return str(link.cluster.conf_get(option))

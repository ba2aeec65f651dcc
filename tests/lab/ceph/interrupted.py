"""What librbd leaves in a pool when it is killed in the middle: made by its own requests, in its own order.

``ioctx`` is the pool as whoever has a key reaches it. Knows the on-disk layout of format 2 (cls_rbd).
"""

import struct
from typing import Any, Final

import rados

#: States of an entry of the trash (cls_rbd_types.h, ``TrashImageState``).
NORMAL: Final = 0
MOVING: Final = 1
REMOVING: Final = 2

#: Objects that stay when a pool has no image any more.
_OF_THE_POOL: Final = frozenset({"rbd_directory", "rbd_info", "rbd_trash"})


def id_of(ioctx: Any, name: str) -> str:
    return str(ioctx.read(f"rbd_id.{name}")[4:].decode())


def moved_into_the_trash(ioctx: Any, name: str, image_id: str, listed: bool) -> None:
    """Of an image in the trash: its move there has taken its name away, and is not over; ``listed`` still."""
    _set_state(ioctx, image_id, MOVING, NORMAL)
    if listed:
        ioctx.execute("rbd_directory", "rbd", "dir_add_image", _spelled(name) + _spelled(image_id))


def removed_from_the_trash(ioctx: Any, image_id: str) -> None:
    """Of an image in the trash: its removal has taken everything away but the entry."""
    _set_state(ioctx, image_id, REMOVING, NORMAL)
    ioctx.remove_object(f"rbd_header.{image_id}")
    ioctx.remove_object(f"rbd_object_map.{image_id}")


def named(ioctx: Any, name: str, wanted: str, listed: bool) -> None:
    """The image ``name`` has the name ``wanted`` too; the directory knows that one if it is ``listed``."""
    image_id = id_of(ioctx, name)
    ioctx.write_full(f"rbd_id.{wanted}", _spelled(image_id))
    if listed:
        ioctx.execute(
            "rbd_directory", "rbd", "dir_rename_image", _spelled(name) + _spelled(wanted) + _spelled(image_id)
        )


def left(ioctx: Any) -> list[str]:
    """What there is of images: objects, and entries of the directory and of the trash."""
    objects = [found.key for found in ioctx.list_objects()]
    lists = [name for name in ("rbd_directory", "rbd_trash") if name in objects]
    entries = [f"{name}: {key}" for name in lists for key in _keys(ioctx, name) if key.startswith(("id_", "name_"))]
    of_images = [key for key in objects if key.startswith("rbd_") and key not in _OF_THE_POOL and _is_there(ioctx, key)]
    return sorted([*of_images, *entries])


def _is_there(ioctx: Any, key: str) -> bool:
    """Whether it is more than snapshots that the OSD has not trimmed yet."""
    try:
        ioctx.stat(key)
    except rados.ObjectNotFound:
        return False
    return True


def _set_state(ioctx: Any, image_id: str, state: int, expected: int) -> None:
    ioctx.execute("rbd_trash", "rbd", "trash_state_set", _spelled(image_id) + bytes([state, expected]))


def _keys(ioctx: Any, name: str) -> list[str]:
    with rados.ReadOpCtx() as operation:
        entries, _ = ioctx.get_omap_vals(operation, "", "", 1000)
        ioctx.operate_read_op(operation, name)
        return [key for key, _ in entries]


def _spelled(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<I", len(encoded)) + encoded

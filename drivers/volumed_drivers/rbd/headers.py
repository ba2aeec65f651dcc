"""What the pool's own objects say of images, read without opening one: a hundredth of the cost of ``rbd du``.

Knows the on-disk layout of format 2 (``rbd_id.NAME``, ``rbd_header.ID``, ``rbd_directory``); changes nothing but an
image's metadata, and a name that librbd was killed in the change of.
"""

import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from volumed_drivers.rbd import errors
from volumed_drivers.rbd.connection import Connection

#: Entries that one request asks for; an OSD gives 1,024 at most (osd_max_omap_entries_per_request).
PAGE: Final = 1000

#: Bytes of an object that holds a name or an id.
_MOST: Final = 4096

_METADATA: Final = "metadata_"
_SNAPSHOT: Final = "snapshot_"
_PARENT: Final = "parent"

#: The pool's directory: under ``name_NAME`` the id of each image, under ``id_ID`` its name.
_DIRECTORY: Final = "rbd_directory"


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """A snapshot of an image. ``size`` in bytes; ``is_user``: somebody took it, and it was not removed since."""

    name: str
    size: int
    is_user: bool


@dataclass(frozen=True, slots=True)
class Parent:
    """The image that a clone rests on."""

    pool_id: int
    namespace: str
    image_id: str


@dataclass(frozen=True, slots=True)
class Header:
    """An image as its header has it. ``size`` in bytes; ``parent`` of a clone that was not flattened."""

    image_id: str
    size: int
    metadata: Mapping[str, str]
    snapshots: tuple[SnapshotEntry, ...]
    parent: Parent | None

    @property
    def user_snapshots(self) -> tuple[SnapshotEntry, ...]:
        return tuple(entry for entry in self.snapshots if entry.is_user)

    def snapshot(self, name: str) -> SnapshotEntry | None:
        return next((entry for entry in self.user_snapshots if entry.name == name), None)


class Headers:
    """Of the pool that ``connection`` leads to. Raises as rados does."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, name: str) -> Header | None:
        """The image that is called so; None when there is none."""
        image_id = self.id_of(name)
        return None if image_id is None else self.read(image_id)

    def id_of(self, name: str) -> str | None:
        try:
            return _text(self._connection.ioctx.read(f"rbd_id.{name}", _MOST), 0)[0]
        except self._connection.modules.rados.ObjectNotFound:
            return None

    def remove_id(self, name: str) -> None:
        """Have the name lead nowhere; an absent one is fine."""
        with suppress(self._connection.modules.rados.ObjectNotFound):
            self._connection.ioctx.remove_object(f"rbd_id.{name}")

    def listed_id(self, name: str) -> str | None:
        """The id that the pool's directory has for the name: it comes after ``id_of``, and goes after it."""
        return self._listed(f"name_{name}")

    def name_of(self, image_id: str) -> str | None:
        """What the pool's directory calls the image; None where it has none with this id, as in the trash."""
        return self._listed(f"id_{image_id}")

    def set_name(self, image_id: str, name: str, wanted: str) -> None:
        """Have the directory call the image so; the same request that librbd makes (cls_rbd, ``dir_rename_image``)."""
        request = _spelled(name) + _spelled(wanted) + _spelled(image_id)
        self._connection.ioctx.execute(_DIRECTORY, "rbd", "dir_rename_image", request)

    def _listed(self, key: str) -> str | None:
        ioctx = self._connection.ioctx
        with self._connection.modules.rados.ReadOpCtx() as operation:
            entries, _ = ioctx.get_omap_vals_by_keys(operation, (key,))
            try:
                ioctx.operate_read_op(operation, _DIRECTORY)
            except self._connection.modules.rados.ObjectNotFound:
                return None
            found = dict(entries)
        return _text(found[key], 0)[0] if key in found else None

    def read(self, image_id: str) -> Header | None:
        """The header of the image with this id, in the trash too."""
        try:
            entries = dict(omap(self._connection, f"rbd_header.{image_id}"))
        except self._connection.modules.rados.ObjectNotFound:
            return None
        if "size" not in entries:
            return None
        return Header(
            image_id=image_id,
            size=struct.unpack("<Q", entries["size"])[0],
            metadata={
                key.removeprefix(_METADATA): value.decode(errors="replace")
                for key, value in entries.items()
                if key.startswith(_METADATA)
            },
            snapshots=tuple(_snapshot(value) for key, value in entries.items() if key.startswith(_SNAPSHOT)),
            parent=_parent(entries[_PARENT]) if _PARENT in entries else None,
        )

    def lost_parent(self, header: Header) -> str | None:
        """Says that the image rests on one that is gone; None where it does not, or on another pool or namespace.

        Those are not ours to ask for.
        """
        parent, ioctx = header.parent, self._connection.ioctx
        if parent is None or (parent.pool_id, parent.namespace) != (ioctx.get_pool_id(), ioctx.get_namespace()):
            return None
        is_there = self.read(parent.image_id) is not None
        return None if is_there else f"image {parent.image_id}, which it rests on, is gone"

    def all(self) -> Iterator[tuple[str, Header]]:
        """Every image of the pool with its name; what goes meanwhile is left out."""
        for entry in self._connection.modules.rbd.RBD().list2(self._connection.ioctx):
            header = self.read(entry["id"])
            if header is not None:
                yield entry["name"], header

    def set_metadata(self, image_id: str, metadata: Mapping[str, str]) -> None:
        """The same request that librbd makes, without opening the image (cls_rbd, ``metadata_set``)."""
        entries = b"".join(_spelled(key) + _spelled(value) for key, value in metadata.items())
        request = struct.pack("<I", len(metadata)) + entries
        self._connection.ioctx.execute(f"rbd_header.{image_id}", "rbd", "metadata_set", request)

    def remove_metadata(self, image_id: str, key: str) -> None:
        """One that is not there is fine (cls_rbd, ``metadata_remove``)."""
        try:
            self._connection.ioctx.execute(f"rbd_header.{image_id}", "rbd", "metadata_remove", _spelled(key))
        except self._connection.modules.rados.Error as error:
            if not errors.is_missing(error):
                raise


def omap(connection: Connection, name: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    """Every entry of the object's omap whose key begins with ``prefix``, read in pages."""
    after = ""
    while True:
        page = _page(connection, name, after, prefix)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1][0]


def _page(connection: Connection, name: str, after: str, prefix: str) -> list[tuple[str, bytes]]:
    with connection.modules.rados.ReadOpCtx() as operation:
        entries, _ = connection.ioctx.get_omap_vals(operation, after, prefix, PAGE)
        connection.ioctx.operate_read_op(operation, name)
        return list(entries)


def _snapshot(value: bytes) -> SnapshotEntry:
    """cls_rbd_snap (cls_rbd_types.h): version, compat, length, id, name, size; what follows depends on the version."""
    name, at = _text(value, 6 + 8)
    return SnapshotEntry(name, struct.unpack_from("<Q", value, at)[0], is_user=_is_user(value, name, at + 8))


def _parent(value: bytes) -> Parent | None:
    """cls_rbd_parent (cls_rbd_types.h): version, compat, length, pool, namespace (from version 2 on), id, snapshot.

    From version 2 on a flag says whether it still rests on it: one that was flattened may have snapshots that do.
    """
    pool_id, namespace, at = struct.unpack_from("<q", value, 6)[0], "", 6 + 8
    if value[0] >= 2:
        namespace, at = _text(value, at)
    image_id, at = _text(value, at)
    rests = value[0] < 2 or value[at + 8] != 0
    return Parent(pool_id, namespace, image_id) if rests else None


def _is_user(value: bytes, name: str, at: int) -> bool:
    """Whether it lies in the namespace "user". One that was removed while clones live on it has a UUID for its name.

    From version 8 on: protection (1 byte), flags (8), and the namespace with its version, compat, length and kind.
    """
    if value[1] >= 8:
        return bool(struct.unpack_from("<I", value, at + 1 + 8 + 6)[0] == 0)
    return not (len(name) == 36 and name.count("-") == 4)


def _text(value: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", value, at)
    end = at + 4 + length
    return value[at + 4 : end].decode(errors="replace"), end


def _spelled(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<I", len(encoded)) + encoded

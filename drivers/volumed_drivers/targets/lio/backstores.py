"""Backstores: what LIO exports, a block device or a file, one of them a volume.

The owner's mark and the volume's id are in its name, so a half-made one is found again, and tells ours from strangers'.
It lies in a folder of its own, ``core/iblock_N``: whatever hangs in one holds no lock that another needs.
"""

import errno
import hashlib
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from volumed_drivers.helper.wire import Refused
from volumed_drivers.targets.lio import tree
from volumed_drivers.targets.lio.requests import Apply

#: Beginning of the name of each backstore of ours; the owner and the volume follow.
MARK = "volumed-"

#: How many numbers are tried for the folder, where a stranger has the first.
PLACES = 4

#: Blocks that Linux discards by one WRITE SAME where it has read no limit (sd.h, SD_MAX_WS10_BLOCKS). LIO refuses what
#: is longer than what its device zeroes at once, although it cuts discards into pieces by itself. Tried.
LONGEST_DISCARD = 65535

_FILE_SIZE = re.compile(r"^\s*TCM FILEIO .*Size: (\d+)", re.MULTILINE)


def name_of(owner: str, volume_id: str) -> str:
    return f"{MARK}{owner}-{volume_id}"


@dataclass(frozen=True, slots=True)
class Backstore:
    """One that is there; ``folder`` is ``core/PLUGIN_N/NAME``."""

    folder: Path

    @property
    def is_file(self) -> bool:
        return self.folder.parent.name.startswith("fileio_")

    def path(self) -> str | None:
        """What it exports; None while it is not configured."""
        return tree.read(self.folder / "udev_path") or None if self.is_enabled() else None

    def is_enabled(self) -> bool:
        return tree.read(self.folder / "enable") == "1"

    def size_bytes(self, path: str | None) -> int:
        """What initiators see of ``path``, which it exports; 0 when it is not configured."""
        if path is None:
            return 0
        if self.is_file:
            found = _FILE_SIZE.search(tree.read(self.folder / "info"))
            return int(found[1]) if found else 0
        try:
            number = os.stat(path).st_rdev
        except OSError:
            return 0
        return int(tree.read(Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/size")) or 0) * 512


class Backstores:
    """Those below ``core``; ``allowed`` are the folders whose devices and files may be exported."""

    def __init__(self, core: Path, allowed: tuple[str, ...]) -> None:
        self._core = core
        self._allowed = allowed

    def find(self, owner: str, volume_id: str) -> Backstore | None:
        """The volume's backstore, whole or half-made."""
        for folder in self._places(owner, volume_id):
            if folder.is_dir():
                return Backstore(folder)
        return None

    def all_of(self, owner: str) -> dict[str, Backstore]:
        """Every backstore of the owner by its volume's id."""
        mark = name_of(owner, "")
        found = {}
        for place in tree.entries(self._core):
            if place.startswith(("iblock_", "fileio_")):
                for name in tree.entries(self._core / place):
                    if name.startswith(mark):
                        found[name.removeprefix(mark)] = Backstore(self._core / place / name)
        return found

    def ensure(self, wanted: Apply, peer: int, found: Backstore | None) -> Backstore:
        """Make it, or finish what was ``found``; one that is right is not touched.

        The caller has removed one with another path: see ``is_right``.
        """
        if found is None or not found.is_enabled():
            with self._opened(wanted.path, peer) as opened:
                backstore = found or Backstore(self._make(_plugin(wanted.path, opened), wanted))
                _enable(backstore, wanted, opened)
            self._describe(backstore, wanted, new=found is None)
            return backstore
        self._describe(found, wanted, new=False)
        if found.is_file and found.size_bytes(wanted.path) != wanted.size_bytes:
            # A block device's size is asked at each command; a file's is what was said last, a session or not.
            tree.write(found.folder / "control", f"fd_dev_size={wanted.size_bytes}")
        return found

    def is_right(self, found: Backstore, wanted: Apply, peer: int) -> bool:
        """Whether it exports what is wanted, or can be made to as it is."""
        with self._opened(wanted.path, peer) as opened:
            plugin = _plugin(wanted.path, opened)
        return found.folder.parent.name.startswith(f"{plugin}_") and found.path() in (None, wanted.path)

    def remove(self, owner: str, volume_id: str) -> None:
        """Remove it, and the folder that a killed call left empty; its LUN is gone already."""
        for folder in self._places(owner, volume_id):
            tree.remove(folder)
            if folder.parent.is_dir() and not tree.entries(folder.parent):
                tree.remove(folder.parent)

    def _places(self, owner: str, volume_id: str) -> Iterator[Path]:
        name = name_of(owner, volume_id)
        for number in _numbers(name):
            for plugin in ("iblock", "fileio"):
                yield self._core / f"{plugin}_{number}" / name

    def _make(self, plugin: str, wanted: Apply) -> Path:
        name = name_of(wanted.scope.owner, wanted.volume_id)
        for number in _numbers(name):
            place = self._core / f"{plugin}_{number}"
            new = tree.make(place)
            if new or not tree.entries(place):
                tree.make(place / name, new)
                return place / name
        raise Refused("busy", f"strangers have the backstores {plugin}_{', '.join(map(str, _numbers(name)))}")

    def _describe(self, backstore: Backstore, wanted: Apply, new: bool) -> None:
        """Give it the volume's identity, and let discards through where the device can."""
        serial = serial_of(wanted.volume_id)
        if new or serial not in tree.read(backstore.folder / "wwn/vpd_unit_serial"):
            tree.write(backstore.folder / "wwn/vpd_unit_serial", serial)
        if tree.read(backstore.folder / "attrib/max_unmap_block_desc_count") not in ("", "0"):
            attributes = backstore.folder / "attrib"
            longest = 0 if backstore.is_file else int(tree.read(attributes / "max_write_same_len") or LONGEST_DISCARD)
            if 0 < longest < LONGEST_DISCARD:
                tree.write(attributes / "max_write_same_len", str(LONGEST_DISCARD))
            for attribute in ("emulate_tpu", "emulate_tpws"):
                tree.ensure(attributes / attribute, "1", new)

    @contextmanager
    def _opened(self, path: str, peer: int) -> Iterator[str]:
        """Where the kernel finds what the caller may export: a block device by its name, a file by our descriptor.

        A file's folder is the caller's, who could put another file there while we look; so it is opened once, it is no
        link, and it is the caller's own. Raises ``Refused`` where it may not be exported.
        """
        if not any(path.startswith(folder) for folder in self._allowed) or ".." in path.split("/"):
            raise Refused("invalid", f"{path} is not below {' or '.join(self._allowed)}, which the helper may export")
        try:
            is_block = stat.S_ISBLK(os.stat(path).st_mode)
            descriptor = -1 if is_block else os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Refused("not_found", f"{path} does not exist") from error
        except OSError as error:
            raise Refused("unreachable", f"{path}: {error.strerror}") from error
        if is_block:
            _refuse_callers_link(path)
            yield path
            return
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != peer:
                raise Refused("invalid", f"{path} is neither a block device nor a file of user {peer}")
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)


def _refuse_callers_link(path: str) -> None:
    """A name of a block device is root's: in a folder of others it may be a link to whatever device they like."""
    folder = os.stat(os.path.dirname(path))
    if folder.st_uid != 0 or folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Refused("invalid", f"{path} is a block device in a folder that others than root may write to")


def _plugin(path: str, opened: str) -> str:
    """LIO's for what was opened: ``iblock`` or ``fileio``."""
    return "iblock" if opened == path else "fileio"


def _enable(backstore: Backstore, wanted: Apply, opened: str) -> None:
    folder = backstore.folder
    if backstore.is_file:
        buffered = ",fd_buffered_io=1" if wanted.write_cache else ""
        tree.write(folder / "control", f"fd_dev_name={opened},fd_dev_size={wanted.size_bytes}{buffered}")
    else:
        tree.write(folder / "control", f"udev_path={wanted.path}")
    tree.write(folder / "udev_path", wanted.path)
    try:
        tree.write(folder / "enable", "1")
    except OSError as error:
        raise _not_enabled(wanted.path, error) from error


def serial_of(volume_id: str) -> str:
    """The disk's serial number: the volume's id, or one that is derived where that is no UUID.

    LIO makes the disk's world-wide name of its hexadecimal digits.
    """
    try:
        return str(uuid.UUID(volume_id))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, volume_id))


def _numbers(name: str) -> list[int]:
    """Numbers for the folder, far above those that rtslib counts up from 0; below 2^31."""
    digest = hashlib.sha256(name.encode()).digest()
    return [(int.from_bytes(digest[at : at + 4]) | 1 << 30) & 0x7FFFFFFF for at in range(0, 4 * PLACES, 4)]


def _not_enabled(path: str, error: OSError) -> Refused:
    if error.errno == errno.EBUSY:
        return Refused("busy", f"{path} is in use: mounted, a part of something, or exported by somebody else")
    if error.errno in (errno.ENODEV, errno.ENXIO, errno.ENOENT):
        return Refused("not_found", f"{path} is not there: {error.strerror}")
    return Refused("unreachable", f"the kernel does not take {path}: {error.strerror}")

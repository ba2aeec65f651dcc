"""Fills a block device: with zeros, or with what another has. Goes on where it was when its process died.

Knows descriptors and the file in which it notes how far it is; knows nothing of LVM.
"""

import contextlib
import errno
import fcntl
import json
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from volumed.driver.crash import crash_point
from volumed.driver.interface import Progress

MIB = 1024**2

#: Source: linux/fs.h: _IO(0x12, 127). The device does it itself where it can; else the kernel writes.
BLKZEROOUT = 0x127F

#: Bytes that are read, and cleared, at once.
READ, CLEAR = 4 * MIB, 64 * MIB

#: Bytes after which what is done is brought to the disk and noted.
NOTED = 256 * MIB


@dataclass(frozen=True, slots=True)
class Position:
    """How far a device is filled, in a file of this node. ``forget`` it before the device is made."""

    path: Path

    def read(self) -> int:
        try:
            return int(json.loads(self.path.read_text())["done"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0

    def note(self, done: int) -> None:
        draft = self.path.with_suffix(".part")
        with draft.open("w") as stream:
            json.dump({"done": done}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, self.path)

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def size_of(device: int) -> int:
    """The size of a block device, in bytes."""
    return os.lseek(device, 0, os.SEEK_END)


def clear(device: int, start: int, end: int, position: Position, progress: Progress, rate: int = 0) -> None:
    """Have all from ``start`` to ``end`` read as zeros; ``rate``: bytes a second at most, 0: no limit."""
    step = min(CLEAR, rate or CLEAR)  # a sign of life each second, however slow
    _each_part(device, start, end, position, progress, step, lambda at, size: _zero(device, at, size), rate)


def copy(source: int, target: int, size: int, position: Position, progress: Progress) -> None:
    """Have ``target`` read as ``source`` does, and as zeros from its end to ``size``."""
    length = size_of(source)
    os.posix_fadvise(source, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def part(at: int, count: int) -> None:
        data = _read(source, at, min(count, max(0, length - at)))
        if data.count(0) == len(data):
            _zero(target, at, count)
        else:
            _write(target, data, at)
            _zero(target, at + len(data), count - len(data))

    _each_part(target, 0, size, position, progress, READ, part)


def overwrite(source: int, target: int, progress: Progress) -> None:
    """Have ``target`` read as ``source`` as far as that goes, writing only what differs."""
    length = size_of(source)
    progress(0, length)
    for at in range(0, length, READ):
        wanted = _read(source, at, min(READ, length - at))
        if _read(target, at, len(wanted)) != wanted:
            _write(target, wanted, at)
        progress(at + len(wanted), length)
    os.fdatasync(target)


def _each_part(
    device: int,
    start: int,
    end: int,
    position: Position,
    progress: Progress,
    step: int,
    work: Callable[[int, int], None],
    rate: int = 0,
) -> None:
    at = max(start, position.read())
    noted = at
    progress(min(at, end), end)
    while at < end:
        begun, count = time.monotonic(), min(step, end - at)
        work(at, count)
        at += count
        if at - noted >= NOTED or at == end:
            os.fdatasync(device)
            crash_point("lvm.fill.synced")
            position.note(at)
            noted = at
            crash_point("lvm.fill.noted")
        progress(at, end)
        if rate:
            time.sleep(max(0.0, count / rate - (time.monotonic() - begun)))


def _zero(device: int, start: int, size: int) -> None:
    if size <= 0:
        return
    try:
        fcntl.ioctl(device, BLKZEROOUT, struct.pack("QQ", start, size))
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL):
            raise
        for at in range(start, start + size, READ):
            _write(device, bytes(min(READ, start + size - at)), at)


def _read(device: int, at: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = os.pread(device, count - len(data), at + len(data))
        if not part:
            raise OSError(errno.EIO, "the source ended early while it was copied")
        data = part if not data else data + part
    with contextlib.suppress(OSError):  # it is read once
        os.posix_fadvise(device, at, count, os.POSIX_FADV_DONTNEED)
    return data


def _write(device: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(device, view, at)
        view, at = view[written:], at + written

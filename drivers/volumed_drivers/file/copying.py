"""Copies of sparse files: by reflink where the file system can, else only what holds data.

Knows file descriptors; knows nothing of volumes.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from volumed.driver.crash import crash_point
from volumed.driver.interface import Progress

#: ``FICLONE`` of linux/fs.h: _IOW(0x94, 9, int). Source: ioctl_ficlonerange(2).
FICLONE = 0x40049409

#: Bytes copied between two calls of the progress; a copy can be stopped as often.
CHUNK = 64 * 1024 * 1024

#: How a file system says that it shares no extents. Source: ioctl_ficlonerange(2).
_NO_REFLINK = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EPERM})


def reflink(source: int, destination: int) -> bool:
    """Make ``destination`` share all of ``source``, at one instant; False when the file system cannot."""
    try:
        fcntl.ioctl(destination, FICLONE, source)
    except OSError as error:
        if error.errno in _NO_REFLINK:
            return False
        raise
    return True


def can_reflink(folder: Path) -> bool:
    """True when files of ``folder`` can share extents: tried, because no system call tells it."""
    source, copy = folder / ".reflink-source.probe", folder / ".reflink-copy.probe"
    crash_point("file.probe.before")
    try:
        with source.open("w+b") as first:
            crash_point("file.probe.source")
            first.write(b"\1" * 4096)
            first.flush()
            crash_point("file.probe.filled")
            with copy.open("w+b") as second:
                crash_point("file.probe.copy")
                return reflink(first.fileno(), second.fileno())
    finally:
        crash_point("file.probe.tried")
        source.unlink(missing_ok=True)
        crash_point("file.probe.source_gone")
        copy.unlink(missing_ok=True)
        crash_point("file.probe.after")


def copy_data(source: int, destination: int, progress: Progress) -> None:
    """Copy the extents of ``source`` that hold data; what lies between stays a hole.

    ``progress`` is told how far into the file it is, at least every 64 MiB; what it raises stops the copy.
    """
    size = os.fstat(source).st_size
    progress(0, size)
    for start, end in _extents(source, size):
        offset = start
        while offset < end:
            count = os.copy_file_range(source, destination, min(CHUNK, end - offset), offset, offset)
            if count == 0:
                raise OSError(errno.EIO, "the source ended early while it was copied")
            offset += count
            progress(offset, size)
    progress(size, size)


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    offset = 0
    while offset < size:
        try:
            start = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, min(end, size)
        offset = end

"""File systems of our own in a file, mounted for the time of a test, and how they become full. Needs root.

Knows mkfs and mount; knows nothing of volumes.
"""

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

MIB = 1024**2

#: Seconds that a file system may be busy when nobody should use it any more.
PATIENCE = 10.0


@contextmanager
def xfs_with_reflink(folder: Path) -> Iterator[Path]:
    """An XFS whose files can share extents; 320 MiB, about the smallest that mkfs makes."""
    yield from _mounted(folder, 320 * MIB, ["mkfs.xfs", "-q", "-m", "reflink=1"])


@contextmanager
def small_ext4(folder: Path, mebibytes: int, inodes: int | None = None) -> Iterator[Path]:
    """An ext4 that is soon full; ``inodes``: of so many files."""
    few = [] if inodes is None else ["-N", str(inodes)]
    yield from _mounted(folder, mebibytes * MIB, ["mkfs.ext4", "-q", "-m", "0", *few])


class Filler:
    """Takes all the space of the file system that is mounted at ``mount_point``, until it is released.

    Where the number of files is fixed it must be less than ``MOST_FILES``: with no block left, no name can be made for
    the rest of them. Elsewhere they come to an end with the blocks.
    """

    MOST_FILES = 256

    def __init__(self, mount_point: Path) -> None:
        self._mount_point = mount_point
        self._folder = mount_point / "filler"
        self._count = 0

    def fill(self) -> None:
        """Leave room for no file, no block; called again, take also what others have freed since.

        The second round takes what only came free with the first one's files on disk.
        """
        self._folder.mkdir(exist_ok=True)
        for _ in range(2):
            self._settle()
            self._take_files()
            self._take_blocks()

    def release(self) -> None:
        """Give all of it back."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._settle()

    def _settle(self) -> None:
        """What was freed comes free with its transaction."""
        descriptor = os.open(self._mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _take_files(self) -> None:
        for _ in range(self.MOST_FILES):
            self._count += 1
            try:
                (self._folder / str(self._count)).touch()
            except OSError as error:
                _must_be_full(error)
                return

    def _take_blocks(self) -> None:
        """Into one of the files, since there may be room for no other."""
        block = os.statvfs(self._mount_point).f_bsize
        descriptor = os.open(min(self._folder.iterdir()), os.O_WRONLY)
        try:
            piece = 64 * MIB
            while piece >= block:
                try:
                    os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, piece)
                except OSError as error:
                    _must_be_full(error)
                    piece //= 2
        finally:
            os.close(descriptor)


def _must_be_full(error: OSError) -> None:
    if error.errno != errno.ENOSPC:
        raise error


@contextmanager
def filled(mount_point: Path) -> Iterator[Filler]:
    """The file system is full inside the block."""
    filler = Filler(mount_point)
    try:
        filler.fill()
        yield filler
    finally:
        filler.release()


def _mounted(folder: Path, size: int, make: Sequence[str]) -> Iterator[Path]:
    image, mount_point = folder / "filesystem.img", folder / "mounted"
    with image.open("wb") as stream:
        stream.truncate(size)
    mount_point.mkdir()
    try:
        _run([*make, str(image)])
        with _unmounted_after_us(image, mount_point):
            _run(["mount", "-o", "loop", str(image), str(mount_point)])
            try:
                yield mount_point
            finally:
                _unmount(mount_point)
    finally:
        mount_point.rmdir()
        image.unlink()


@contextmanager
def _unmounted_after_us(image: Path, mount_point: Path) -> Iterator[None]:
    """A test run that is killed leaves no mount: somebody waits for its end, which closes the pipe."""
    watch = 'read -r all_is_done || { umount --lazy "$2"; rm "$1"; }'
    with subprocess.Popen(
        ["sh", "-c", watch, "sh", str(image), str(mount_point)], stdin=subprocess.PIPE, start_new_session=True
    ) as watching:
        try:
            yield
        finally:
            watching.communicate(b"all is done\n")


def _unmount(mount_point: Path) -> None:
    """A process that just ended may hold its files for a moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return _run(["umount", str(mount_point)])
        except RuntimeError as error:
            if "busy" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.05)


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]}: {done.stderr.strip()}")

"""File systems of our own in a file, mounted for the time of a test. Needs root.

Knows mkfs and mount; knows nothing of volumes.
"""

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
def small_ext4(folder: Path, mebibytes: int) -> Iterator[Path]:
    """An ext4 that is soon full."""
    yield from _mounted(folder, mebibytes * MIB, ["mkfs.ext4", "-q", "-m", "0"])


def _mounted(folder: Path, size: int, make: Sequence[str]) -> Iterator[Path]:
    image, mount_point = folder / "filesystem.img", folder / "mounted"
    with image.open("wb") as stream:
        stream.truncate(size)
    mount_point.mkdir()
    try:
        _run([*make, str(image)])
        _run(["mount", "-o", "loop", str(image), str(mount_point)])
        try:
            yield mount_point
        finally:
            _unmount(mount_point)
    finally:
        mount_point.rmdir()
        image.unlink()


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

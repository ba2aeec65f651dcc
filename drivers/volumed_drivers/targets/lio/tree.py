"""One entry of configfs made, changed or removed: a crash point before each effect, and fine when done already.

Whoever makes several of them passes a last point when all are done.

Source: configfs, Documentation/filesystems/configfs.rst: mkdir makes an object with its attributes, a link connects
two, rmdir removes an object whose links are gone.
"""

import contextlib
import os
from pathlib import Path

from volumed.driver.crash import crash_point


def make(folder: Path, new: bool = False) -> bool:
    """Make the object unless it is there; True when it was made. What belongs to a ``new`` one cannot be there."""
    if not new and folder.is_dir():
        return False
    crash_point("lio.make.before")
    try:
        os.mkdir(folder)
    except FileExistsError:
        return False
    return True


def remove(folder: Path) -> None:
    """Remove the object unless it is gone."""
    if not os.path.lexists(folder):
        return
    crash_point("lio.remove.before")
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(folder)


def link(name: Path, to: Path) -> None:
    """Connect ``name`` with the object ``to``."""
    crash_point("lio.link.before")
    os.symlink(to, name)


def unlink(name: Path) -> None:
    """Take the connection away unless it is gone."""
    crash_point("lio.unlink.before")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)


def read(attribute: Path) -> str:
    """The attribute's value, without its last newline; nothing where there is no such attribute (another kernel)."""
    try:
        descriptor = os.open(attribute, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        return os.read(descriptor, 4096).decode(errors="replace").rstrip("\n")
    finally:
        os.close(descriptor)


def write(attribute: Path, value: str) -> None:
    """Write the attribute; the kernel's refusal is an ``OSError``."""
    crash_point("lio.write.before")
    descriptor = os.open(attribute, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def ensure(attribute: Path, value: str, new: bool = False) -> None:
    """Write the attribute unless it has the value; what is ``new`` has none that is worth a look."""
    if new or read(attribute) != value:
        write(attribute, value)


def ensure_if_known(attribute: Path, value: str, new: bool = False) -> None:
    """The same; one that this kernel does not have is fine."""
    if new or read(attribute) not in ("", value):
        with contextlib.suppress(FileNotFoundError):
            write(attribute, value)


def entries(folder: Path) -> list[str]:
    """Names of the objects in ``folder``; none where it is gone."""
    try:
        with os.scandir(folder) as found:
            return [entry.name for entry in found if entry.is_dir()]
    except FileNotFoundError:
        return []


def linked(name: Path) -> str:
    """The name of what the connection leads to; nothing where there is none."""
    try:
        return os.path.basename(os.readlink(name))
    except FileNotFoundError:
        return ""


def links(folder: Path) -> list[Path]:
    """The connections of an object."""
    try:
        with os.scandir(folder) as found:
            return [Path(entry.path) for entry in found if entry.is_symlink()]
    except FileNotFoundError:
        return []

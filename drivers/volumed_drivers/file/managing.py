"""Files of the pool folder that others made: listed, taken over under one of our names, and given back.

What a file was called and how long it was stands in the target of a link, ``.volume-ID.managed``: it appears whole, and
is there before the file is renamed. A file that is taken over grows to whole GiB; given back, it is cut to its old
length unless something was written behind it. Knows nothing of exports or of how volumes are made.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendInvalid, BackendNotFound
from volumed.driver.interface import Manageable, Reference
from volumed_drivers.file.pool import Pool, unlink

GIB = 1024**3

#: The only key of a reference.
NAME = "source-name"


def manageable(pool: Pool, kind: str) -> Iterator[Manageable]:
    """Every file that could be a volume or snapshot (``kind``), and those that are one."""
    for entry in os.scandir(pool.path):
        its_kind, its_id = pool.identify(entry.name)
        if entry.name.startswith(".") or (its_kind is not None and its_kind != kind):
            continue
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        reason = "it is managed already" if its_id else _misnamed(entry.name) or _unfit(found)
        shown = entry.name.encode(errors="backslashreplace").decode()
        yield Manageable({NAME: shown}, _gib(found.st_size), reason is None, reason, its_id)


def size_of(pool: Pool, reference: Reference) -> int:
    """GiB, rounded up, of the file that ``reference`` names. ``BackendInvalid`` when it cannot be managed."""
    return _gib(_fit(pool, _named(pool, reference)).st_size)


def take_over(pool: Pool, final: Path, reference: Reference, size: int) -> None:
    """Make the file that ``reference`` names ``final``, of ``size`` GiB; one that was taken over is left so."""
    if not final.exists():
        source = _named(pool, reference)
        found = _fit(pool, source)
        if _gib(found.st_size) > size:
            raise _wrong(pool, source.name, f"it has {_gib(found.st_size)} GiB, and {size} were asked for")
        _note(pool, final, source.name, found.st_size)
        crash_point("file.manage.before")
        os.rename(source, final)
        crash_point("file.manage.renamed")
        pool.settle()
    _grow(final, size * GIB)
    crash_point("file.manage.after")


def give_back(pool: Pool, final: Path) -> None:
    """Call ``final`` what it was called before, or by a name that is nobody's; an absent one is fine.

    Raises ``BackendInvalid`` when that name is another file's.
    """
    note = pool.note(final)
    length, name = _noted(note) or (None, f"unmanaged-{final.name}")
    if final.exists():
        if length is not None:
            _cut(final, length)
        _rename(pool, final, pool.path / name)
        pool.settle()
    crash_point("file.unmanage.renamed")
    unlink(note)
    crash_point("file.unmanage.after")


def _named(pool: Pool, reference: Reference) -> Path:
    name = reference.get(NAME)
    if set(reference) != {NAME} or not name:
        raise _wrong(pool, repr(dict(reference)), f"the reference must be one name of a file: {{{NAME!r}: NAME}}")
    if "/" in name or "\0" in name or name.startswith("."):
        raise _wrong(pool, repr(name), f"it is no name of a file in {pool.path}")
    return pool.path / name


def _fit(pool: Pool, path: Path) -> os.stat_result:
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise BackendNotFound(what=f"the file {path.name}", backend=pool.backend) from None
    reason = "it is managed already" if pool.identify(path.name)[1] else _unfit(found)
    if reason is not None:
        raise _wrong(pool, path.name, reason)
    return found


def _misnamed(name: str) -> str | None:
    return None if name.isprintable() else "its name has bytes that are no printable text"


def _unfit(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if found.st_nlink > 1:
        return "it has more than one name"
    return "it is empty" if found.st_size == 0 else None


def _wrong(pool: Pool, what: str, reason: str) -> BackendInvalid:
    return BackendInvalid(backend=pool.backend, what=what, reason=reason)


def _gib(length: int) -> int:
    return -(-length // GIB)


def _note(pool: Pool, final: Path, name: str, length: int) -> None:
    """Keep what the file is called: a link's target is there whole or not at all."""
    note = pool.note(final)
    unlink(note)
    crash_point("file.note.before")
    os.symlink(f"{length}:{name}", note)
    crash_point("file.note.after")
    pool.settle()


def _noted(note: Path) -> tuple[int, str] | None:
    try:
        length, _, name = os.readlink(note).partition(":")
    except FileNotFoundError:
        return None
    return int(length), name


def _grow(path: Path, length: int) -> None:
    if path.stat().st_size >= length:
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        crash_point("file.manage.grow.before")
        os.ftruncate(descriptor, length)
        os.fsync(descriptor)
        crash_point("file.manage.grow.after")
    finally:
        os.close(descriptor)


def _cut(path: Path, length: int) -> None:
    """Take away what ``_grow`` added, while nothing was written there: holes only, and no growth beside ours."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size != _gib(length) * GIB or _has_data_behind(descriptor, length):
            return
        crash_point("file.unmanage.cut.before")
        os.ftruncate(descriptor, length)
        os.fsync(descriptor)
        crash_point("file.unmanage.cut.after")
    finally:
        os.close(descriptor)


def _has_data_behind(descriptor: int, length: int) -> bool:
    """Whether there is anything but a hole from ``length`` on; the block in which it lies is read."""
    rest = -length % 4096
    if any(os.pread(descriptor, rest, length)):
        return True
    try:
        os.lseek(descriptor, length + rest, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    return True


def _rename(pool: Pool, final: Path, back: Path) -> None:
    """As ``rename``, but never over another file: a link refuses. Interrupted, the file has both names."""
    crash_point("file.unmanage.before")
    try:
        os.link(final, back)
    except FileExistsError:
        if not back.samefile(final):
            raise _wrong(pool, final.name, f"its old name, {back.name}, is another file's now") from None
    crash_point("file.unmanage.linked")
    unlink(final)

"""Locks of this node: one process per service, and one writer per resource.

A lock is a ``flock`` on a file: the kernel drops it with the last process that holds it, which may be a command that
outlived us with the lock as its stdin. The file of a resource is removed by its last holder; whoever opened it before
sees that the name is gone and takes a new one.

Source: flock(2); a lock belongs to the open file, so two threads of one process exclude each other too.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from volumed.model import held_lock
from volumed.model.errors import ServiceLocked, VolumedError

#: Beginning of the names of services' lock files, which stand beside those of resources and stay.
SERVICE_PREFIX = "service-"

#: Seconds between two tries for a lock that is held.
TRY_PAUSE = 0.01


class ResourceLocked(VolumedError):
    """Another holder on this node works on it: an operation, or a command that outlived its process."""

    message = "blocked by the lock of {name} on this node"


class LockUnavailable(ResourceLocked):
    """The lock cannot even be tried: the disk that has the state folder is full, or it is read-only."""

    message = "the lock of {name} cannot be taken on this node: {reason}"


class WaitsFor(ResourceLocked):
    """An operation that was accepted earlier has to end first."""

    message = "waits for the end of {kind} {operation_id}, which reads {resource_type} {resource_id}"


@dataclass(frozen=True, slots=True)
class Claims:
    """What an operation locks: ``exclusive`` it changes, ``shared`` it only reads."""

    exclusive: Collection[str]
    shared: Collection[str] = ()


def export_lock(volume_id: str) -> str:
    """The name of the lock of a volume's export, beside the lock of its data."""
    return f"export-{volume_id}"


class NodeLocks:
    """The locks in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def holding(self, claims: Claims, patience: float) -> Iterator[None]:
        """Hold all of ``claims``, taken in the order of their names.

        Raises ``ResourceLocked`` when one of them cannot be had within ``patience`` seconds, ``LockUnavailable`` when
        the folder has no room for it.
        """
        wanted = dict.fromkeys(claims.shared, fcntl.LOCK_SH) | dict.fromkeys(claims.exclusive, fcntl.LOCK_EX)
        deadline = time.monotonic() + patience
        with ExitStack() as held:
            taken = {
                name: held.enter_context(self._holding_one(name, wanted[name], deadline)) for name in sorted(wanted)
            }
            held.enter_context(held_lock.holding(_of_data(claims, taken)))
            yield

    def tidy(self) -> None:
        """Remove the files that a killed process left; those that somebody holds stay."""
        for path in self._folder.glob("*.lock"):
            if not path.name.startswith(SERVICE_PREFIX):
                self.tidy_one(path)

    def left(self, age: float) -> list[Path]:
        """Files of resources that nobody has held for ``age`` seconds: killed processes left them."""
        before = time.time() - age
        return [path for path in sorted(self._folder.glob("*.lock")) if _is_left(path, before)]

    def tidy_one(self, path: Path) -> None:
        """Remove the file unless somebody holds it or it is gone."""
        with contextlib.suppress(ResourceLocked, FileNotFoundError):
            _release(path, _lock(path, path.stem, fcntl.LOCK_EX, deadline=0))

    @contextmanager
    def _holding_one(self, name: str, mode: int, deadline: float) -> Iterator[int]:
        path = self._folder / f"{name}.lock"
        descriptor = _lock(path, name, mode, deadline)
        try:
            yield descriptor
        finally:
            _release(path, descriptor)


def _of_data(claims: Claims, taken: Mapping[str, int]) -> int | None:
    """The lock that the work's commands hold too: of what it changes, which it names first."""
    return next((taken[name] for name in claims.exclusive), None)


def _is_left(path: Path, before: float) -> bool:
    """A holder makes the file and locks it in two steps, so one that is young may be on its way."""
    if path.name.startswith(SERVICE_PREFIX):
        return False
    with contextlib.suppress(FileNotFoundError, BlockingIOError):
        if path.stat().st_mtime > before:
            return False
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _is_named(descriptor, path)
        finally:
            os.close(descriptor)
    return False


def _lock(path: Path, name: str, mode: int, deadline: float) -> int:
    while True:
        descriptor = _open(path, name)
        try:
            _wait_for(descriptor, name, mode, deadline)
            if _is_named(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open(path: Path, name: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LockUnavailable(name=name, reason=f"{error.strerror or error} ({path.parent})") from error


def _wait_for(descriptor: int, name: str, mode: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise ResourceLocked(name=name) from None
            time.sleep(TRY_PAUSE)


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        named = os.stat(path)
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


def _release(path: Path, descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_named(descriptor, path):
            os.unlink(path)
    os.close(descriptor)


class ServiceLock:
    """Held for life by the one process that is this service."""

    def __init__(self, path: Path, service: str) -> None:
        self._path = path
        self._service = service
        self._descriptor: int | None = None

    def take(self, holder: str) -> None:
        """Become the service; ``holder`` tells others who. Raises ``ServiceLocked`` naming the one that is it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = os.pread(descriptor, 1024, 0).decode(errors="replace").strip() or "an unknown process"
            os.close(descriptor)
            raise ServiceLocked(service=self._service, holder=found, path=self._path) from None
        self._descriptor = descriptor
        self.tell(holder)

    def tell(self, holder: str) -> None:
        """Tell others more of the holder than was known when the lock was taken."""
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{holder}\n".encode(), 0)

    def release(self) -> None:
        """Stop being the service; the file stays, its lock does not."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

"""Volumes as sparse files of one folder, exported by whatever target the backend names.

A volume is complete when its file has its final name and its size: what must be filled grows under a temporary name
and is renamed when its data is on disk. Knows nothing of status, RPC or iSCSI.
"""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oslo_config import cfg

from volumed.driver.crash import crash_point
from volumed.driver.errors import (
    BackendBusy,
    BackendError,
    BackendFull,
    BackendInvalid,
    BackendNotFound,
    BackendUnreachable,
)
from volumed.driver.interface import (
    Access,
    ActualExport,
    Capabilities,
    Export,
    Facts,
    Leftover,
    Manageable,
    PoolCapabilities,
    Progress,
    Reference,
    SnapshotRef,
    VolumeRef,
    unwatched,
)
from volumed.driver.registry import Setup, load_target
from volumed_drivers.file import managing
from volumed_drivers.file.copying import can_reflink, copy_data, reflink
from volumed_drivers.file.pool import Pool, unlink

VERSION = "1.0"

GIB = 1024**3

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FileDriver:
    """The ``file`` driver: one pool, which is one folder."""

    OPTIONS = [
        cfg.StrOpt(
            "file_pool_path",
            default=None,
            help="Folder of the volumes' files; default is the folder 'pool' beside the backend's state.",
        ),
    ]

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        path = Path(setup.options.file_pool_path or setup.state_path / "pool")
        self._pool = Pool(path, setup.owner, setup.host, setup.state_path / f"claimed-pool-{setup.backend}")
        self._target = load_target(setup)
        self._reflink = False

    def do_setup(self) -> None:
        with self._translated(f"the pool {self._pool.path}"):
            self._pool.claim()
            self._reflink = can_reflink(self._pool.path)
        self._target.setup()

    def check_for_setup_error(self) -> None:
        if not os.access(self._pool.path, os.W_OK | os.X_OK):
            raise BackendUnreachable(
                backend=self._setup.backend,
                reason=f"no permission to write to {self._pool.path} ([{self._setup.backend}] file_pool_path)",
            )

    def close(self) -> None:
        self._target.close()

    def check_health(self) -> bool:
        return self._target.check_health()

    def capabilities(self) -> Capabilities:
        return Capabilities(
            driver="file",
            storage_protocol=self._target.storage_protocol,
            vendor_name="volumed",
            driver_version=VERSION,
            online_extend_support=self._target.shows_growth,
            multiattach=True,
            snapshot_attached_support=self._reflink,
            pools=(self._pool_capabilities(),),
        )

    def create(self, volume: VolumeRef, progress: Progress = unwatched) -> Facts:
        path = self._pool.volume(volume)
        with self._translated(f"volume {volume.id}"):
            if _size(path) < volume.size * GIB:
                self._pool.confirm()
                crash_point("file.create.before")
                _grow(path, volume.size * GIB, os.O_CREAT)
                self._pool.settle()
                crash_point("file.create.after")
        return {}

    def create_from_snapshot(self, volume: VolumeRef, snapshot: SnapshotRef, progress: Progress) -> Facts:
        source = self._pool.snapshot(snapshot)
        self._fill(self._pool.volume(volume), source, f"snapshot {snapshot.id}", volume.size, progress)
        return {}

    def create_from_volume(self, volume: VolumeRef, source: VolumeRef, progress: Progress) -> Facts:
        path = self._pool.volume(source)
        self._fill(self._pool.volume(volume), path, f"volume {source.id}", volume.size, progress)
        return {}

    def delete(self, volume: VolumeRef) -> None:
        self._refuse_if_logged_in(volume.id)
        self._remove(self._pool.volume(volume), f"volume {volume.id}")

    def extend(self, volume: VolumeRef, new_size: int, progress: Progress = unwatched) -> None:
        path = self._pool.volume(volume)
        with self._translated(f"volume {volume.id}"):
            if path.stat().st_size < new_size * GIB:
                crash_point("file.extend.before")
                _grow(path, new_size * GIB)
                crash_point("file.extend.after")

    def create_snapshot(self, snapshot: SnapshotRef, attached: bool, progress: Progress) -> Facts:
        if attached and not self._reflink:
            raise BackendInvalid(
                backend=self._setup.backend,
                what=f"snapshot {snapshot.id} of an attached volume",
                reason=f"the file system of {self._pool.path} has no reflink, so it would not be one instant",
            )
        source = self._pool.volume(snapshot.volume)
        what = f"volume {snapshot.volume.id}"
        self._fill(self._pool.snapshot(snapshot), source, what, snapshot.size, progress)
        return {}

    def delete_snapshot(self, snapshot: SnapshotRef) -> None:
        self._remove(self._pool.snapshot(snapshot), f"snapshot {snapshot.id}")

    def revert(self, volume: VolumeRef, snapshot: SnapshotRef, progress: Progress) -> Facts:
        self._refuse_if_logged_in(volume.id)
        what = f"snapshot {snapshot.id}"
        with self._translated(what):
            source = os.open(self._pool.snapshot(snapshot), os.O_RDONLY | os.O_CLOEXEC)
        try:
            with self._translated(what):
                self._copy(source, self._pool.volume(volume), volume.size, progress)
        finally:
            os.close(source)
        return {}

    def has_volume(self, volume: VolumeRef) -> bool:
        with self._translated(f"volume {volume.id}"):
            return _size(self._pool.volume(volume)) >= volume.size * GIB

    def has_snapshot(self, snapshot: SnapshotRef) -> bool:
        with self._translated(f"snapshot {snapshot.id}"):
            return _size(self._pool.snapshot(snapshot)) >= snapshot.size * GIB

    def ensure_export(self, volume: VolumeRef, accesses: Sequence[Access], force: bool = False) -> None:
        with self._translated(f"volume {volume.id}"):
            size = self._pool.volume(volume).stat().st_size
        self._target.apply(self._export(volume, size, accesses), force)

    def remove_export(self, volume: VolumeRef, force: bool = False) -> None:
        self._target.remove(volume.id, force)

    def connection_info(self, volume: VolumeRef, access: Access) -> dict[str, Any]:
        return self._target.connection_info(self._export(volume, volume.size * GIB, (access,)), access)

    def exports(self) -> Mapping[str, ActualExport]:
        return self._target.exports()

    def audit(self) -> Sequence[Leftover]:
        with self._translated(f"the pool {self._pool.path}"):
            found = list(self._pool.contents())
        return found + list(self._target.audit())

    def remove_leftover(self, leftover: Leftover) -> None:
        if leftover.kind == "export":
            self._target.remove_leftover(leftover)
            return
        if leftover.kind == "volume" and leftover.id is not None:
            self._refuse_if_logged_in(leftover.id)
        with self._translated(leftover.where):
            crash_point("file.discard.before")
            if self._pool.discard(leftover.where):
                self._pool.settle()
            crash_point("file.discard.after")

    # --- what others made -------------------------------------------------------------------------------------------

    def manageable_volumes(self) -> Sequence[Manageable]:
        with self._translated(f"the pool {self._pool.path}"):
            return list(managing.manageable(self._pool, "volume"))

    def manageable_snapshots(self) -> Sequence[Manageable]:
        with self._translated(f"the pool {self._pool.path}"):
            return list(managing.manageable(self._pool, "snapshot"))

    def managed_size(self, reference: Reference) -> int:
        with self._translated(f"the pool {self._pool.path}"):
            return managing.size_of(self._pool, reference)

    def manage(self, volume: VolumeRef, reference: Reference) -> Facts:
        with self._translated(f"volume {volume.id}"):
            managing.take_over(self._pool, self._pool.volume(volume), reference, volume.size)
        return {}

    def unmanage(self, volume: VolumeRef) -> None:
        self._refuse_if_logged_in(volume.id)
        with self._translated(f"volume {volume.id}"):
            managing.give_back(self._pool, self._pool.volume(volume))

    def managed_snapshot_size(self, reference: Reference) -> int:
        return self.managed_size(reference)

    def manage_snapshot(self, snapshot: SnapshotRef, reference: Reference) -> Facts:
        with self._translated(f"snapshot {snapshot.id}"):
            managing.take_over(self._pool, self._pool.snapshot(snapshot), reference, snapshot.size)
        return {}

    def unmanage_snapshot(self, snapshot: SnapshotRef) -> None:
        with self._translated(f"snapshot {snapshot.id}"):
            managing.give_back(self._pool, self._pool.snapshot(snapshot))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _refuse_if_logged_in(self, volume_id: str) -> None:
        sessions = self._target.sessions(volume_id)
        if sessions:
            raise BackendBusy(
                what=f"volume {volume_id}",
                backend=self._setup.backend,
                reason=f"logged in: {', '.join(sessions)}",
            )

    def _export(self, volume: VolumeRef, size_bytes: int, accesses: Sequence[Access]) -> Export:
        return Export(
            volume_id=volume.id,
            path=str(self._pool.volume(volume)),
            size_bytes=size_bytes,
            accesses=tuple(accesses),
        )

    def _remove(self, path: Path, what: str) -> None:
        with self._translated(what):
            crash_point("file.remove.before")
            if self._pool.remove(path):
                self._pool.settle()
            crash_point("file.remove.after")

    def _fill(self, final: Path, source: Path, source_name: str, size: int, progress: Progress) -> None:
        """Make ``final`` a copy of ``source``, grown to ``size`` GiB; a complete one is left as it is."""
        with self._translated(source_name):
            if _size(final) >= size * GIB:
                return
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with self._translated(final.name):
                self._copy(descriptor, final, size, progress)
        finally:
            os.close(descriptor)

    def _copy(self, source: int, final: Path, size: int, progress: Progress) -> None:
        self._check_space(source, final)
        temporary = self._pool.temporary(final)
        try:
            crash_point("file.copy.before")
            self._fill_temporary(source, temporary, size, progress)
            crash_point("file.rename.before")
            os.rename(temporary, final)
        except BaseException:
            crash_point("file.copy.given_up")
            unlink(temporary)
            crash_point("file.copy.forgotten")
            raise
        crash_point("file.rename.after")
        self._pool.settle()

    def _fill_temporary(self, source: int, temporary: Path, size: int, progress: Progress) -> None:
        unlink(temporary)
        crash_point("file.copy.cleared")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            crash_point("file.copy.opened")
            if not (self._reflink and reflink(source, descriptor)):
                copy_data(source, descriptor, progress)
            crash_point("file.copy.filled")
            os.ftruncate(descriptor, max(size * GIB, os.fstat(source).st_size))
            os.fsync(descriptor)
            crash_point("file.copy.after")
        finally:
            os.close(descriptor)

    def _check_space(self, source: int, final: Path) -> None:
        if self._reflink:
            return
        needed = os.fstat(source).st_blocks * 512
        space = os.statvfs(self._pool.path)
        free = space.f_bavail * space.f_frsize
        if needed > free:
            raise BackendFull(
                backend=self._setup.backend,
                what=final.name,
                reason=f"the copy needs {needed} bytes and {self._pool.path} has {free} free",
            )

    def _pool_capabilities(self) -> PoolCapabilities:
        with self._translated(f"the pool {self._pool.path}"):
            space = os.statvfs(self._pool.path)
            ours = self._pool.used_bytes()
        free = space.f_bavail * space.f_frsize
        used = (space.f_blocks - space.f_bfree) * space.f_frsize
        return PoolCapabilities(
            name="pool",
            storage_id=self._pool.storage_id,
            total_gib=(used + free) / GIB,
            free_gib=free / GIB,
            foreign_gib=max(0, used - ours) / GIB,
            reserved_percentage=self._setup.options.reserved_percentage,
            max_over_subscription_ratio=self._setup.options.max_over_subscription_ratio,
            thin_provisioning=True,
            features={"reflink": self._reflink},
        )

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Say in the backend's family what the system says."""
        try:
            yield
        except OSError as error:
            raise self._backend_error(what, error) from error

    def _backend_error(self, what: str, error: OSError) -> BackendError:
        backend, reason = self._setup.backend, f"{error.strerror or error}"
        if error.errno in _FULL:
            return BackendFull(backend=backend, what=what, reason=reason)
        if error.errno == errno.ENOENT:
            return self._missing(what)
        if error.errno == errno.EFBIG:
            return BackendInvalid(backend=backend, what=what, reason=f"{reason} for the file system of the pool")
        return BackendUnreachable(backend=backend, reason=f"{what}: {reason} ({self._pool.path})")

    def _missing(self, what: str) -> BackendError:
        try:
            self._pool.confirm()
        except BackendError as error:
            return error
        except OSError as error:
            reason = f"{what}: {error.strerror} ({self._pool.path})"
            return BackendUnreachable(backend=self._setup.backend, reason=reason)
        return BackendNotFound(what=what, backend=self._setup.backend)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _grow(path: Path, size: int, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        crash_point("file.grow.before")
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
        crash_point("file.grow.after")
    finally:
        os.close(descriptor)

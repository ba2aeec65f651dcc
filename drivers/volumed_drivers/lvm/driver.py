"""Logical volumes of one volume group, thin or thick, exported by whatever target the backend names.

Puts the pieces together; knows nothing of status or RPC, and leaves LVM's words to ``commands``.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendBusy, BackendInvalid
from volumed.driver.interface import (
    SECONDS_LEFT,
    TAKES_NO_MORE,
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
    Remains,
    SnapshotRef,
    VolumeRef,
    unwatched,
)
from volumed.driver.registry import Setup, load_target
from volumed_drivers.lvm import managing
from volumed_drivers.lvm.commands import Group, LogicalVolume, Lvm, Refused
from volumed_drivers.lvm.governor import Governor
from volumed_drivers.lvm.hands import unread
from volumed_drivers.lvm.names import UNREADY, Names, meant, owner_of, parsed, told
from volumed_drivers.lvm.options import OPTIONS, said_in_vain, unread_configuration
from volumed_drivers.lvm.site import Site
from volumed_drivers.lvm.thick import Thick
from volumed_drivers.lvm.thin import Thin
from volumed_drivers.targets.tgt.target import TgtTarget

LOG = logging.getLogger(__name__)

VERSION = "1.0"

GIB = 1024**3


class LvmDriver:
    """The ``lvm`` driver: one pool, which is one volume group or the thin pool in it."""

    OPTIONS = OPTIONS

    def __init__(self, setup: Setup) -> None:
        options = setup.options
        self._setup = setup
        self._lvm = Lvm(setup.backend, options)
        self._names = Names(setup.owner)
        self._site = Site(setup.backend, self._lvm, self._names, setup.state_path / "lvm", options)
        self._pool = options.lvm_thin_pool or f"{options.volume_group}-pool"
        self._governor = Governor(options)
        self._thick = Thick(self._site)
        self._volumes: Thin | Thick = self._thick
        self._observed: Group | None = None
        self._target = load_target(setup)

    def do_setup(self) -> None:
        self._refuse_unread_configuration()
        self._lvm.hands.meet()
        group = self._lvm.look()
        self._claim(group)
        with self._site.translated(f"the folder {self._site.notes}"):
            self._site.notes.mkdir(parents=True, exist_ok=True)
        self._volumes = self._chosen(group)
        self._volumes.prepare(group)
        self._tend(self._lvm.known())
        self._target.setup()

    def check_for_setup_error(self) -> None:
        options = self._setup.options
        for name in said_in_vain(options):
            reason = "lvm_helper_socket is set: volumed-lvm runs LVM's commands, and is told its own (--lvm-conf)"
            raise BackendInvalid(backend=self._setup.backend, what=name, reason=reason)
        if options.lvm_helper_socket and options.lvm_conf_file and unread(options.lvm_conf_file) is None:
            told = "[%s] %s is there, and volumed-lvm reads it only where its --lvm-conf says so"
            LOG.warning(told, self._setup.backend, options.lvm_conf_file)
        if options.iscsi_write_cache and not isinstance(self._target, TgtTarget):  # which says so itself
            LOG.warning("[%s] iscsi_write_cache does nothing: LIO has no cache of a device", self._setup.backend)
        if isinstance(self._volumes, Thin) and options.lvm_mirrors:
            reason = "thin volumes have no mirrors of their own: mirror the pool, or set lvm_type = thick"
            raise BackendInvalid(backend=self._setup.backend, what="lvm_mirrors", reason=reason)

    def close(self) -> None:
        self._target.close()

    def check_health(self) -> bool:
        self._tend(self._lvm.known())
        return self._target.check_health()

    def capabilities(self) -> Capabilities:
        return Capabilities(
            driver="lvm",
            storage_protocol=self._target.storage_protocol,
            vendor_name="volumed",
            driver_version=VERSION,
            online_extend_support=isinstance(self._volumes, Thin) and self._target.shows_growth,
            multiattach=True,
            snapshot_attached_support=True,
            pools=(self._pool_capabilities(self._lvm.known()),),
        )

    def create(self, volume: VolumeRef, progress: Progress = unwatched) -> Facts:
        self._volumes.make(self._names.volume(volume.id), volume.size * GIB, f"volume {volume.id}", progress)
        return {}

    def create_from_snapshot(self, volume: VolumeRef, snapshot: SnapshotRef, progress: Progress) -> Facts:
        return self._copy(volume, self._names.snapshot(snapshot.id), progress)

    def create_from_volume(self, volume: VolumeRef, source: VolumeRef, progress: Progress) -> Facts:
        return self._copy(volume, self._names.volume(source.id), progress)

    def delete(self, volume: VolumeRef) -> Remains | None:
        if sessions := self._target.sessions(volume.id):
            reason = f"logged in: {', '.join(sessions)}"
            raise BackendBusy(what=f"volume {volume.id}", backend=self._setup.backend, reason=reason)
        return self._volumes.remove(volume.id, f"volume {volume.id}")

    def closed_pools(self) -> frozenset[str]:
        return frozenset({self._lvm.group} if self._governor.is_closed else ())

    def fills(self) -> bool:
        return self._volumes is self._thick

    def purge(self, volume: VolumeRef, progress: Progress) -> None:
        self._thick.purge(volume.id, progress)

    def extend(self, volume: VolumeRef, new_size: int, progress: Progress = unwatched) -> None:
        self._volumes.grow(self._names.volume(volume.id), new_size * GIB, f"volume {volume.id}", progress)

    def create_snapshot(self, snapshot: SnapshotRef, attached: bool, progress: Progress) -> Facts:
        origin = self._names.volume(snapshot.volume.id)
        self._volumes.snapshot(origin, self._names.snapshot(snapshot.id), f"snapshot {snapshot.id}")
        return {}

    def delete_snapshot(self, snapshot: SnapshotRef) -> None:
        self._volumes.remove_snapshot(self._names.snapshot(snapshot.id), f"snapshot {snapshot.id}")

    def revert(self, volume: VolumeRef, snapshot: SnapshotRef, progress: Progress) -> Facts:
        name, what = self._names.snapshot(snapshot.id), f"volume {volume.id}"
        self._volumes.revert(volume.id, name, volume.size * GIB, what, progress)
        return {}

    def has_volume(self, volume: VolumeRef) -> bool:
        found = self._lvm.look().volumes.get(self._names.volume(volume.id))
        return found is not None and self._is_ours(found) and self._volumes.is_whole(found, volume.size * GIB)

    def has_snapshot(self, snapshot: SnapshotRef) -> bool:
        found = self._lvm.look().volumes.get(self._names.snapshot(snapshot.id))
        if found is None or not self._is_ours(found):
            return False
        return self._volumes.is_whole_snapshot(found, self._names.volume(snapshot.volume.id), snapshot.size * GIB)

    def prepare_exports(self, volume_ids: Sequence[str]) -> None:
        """Activate those that are not: one command for all of them, which a node pays for each time it boots."""
        there = self._lvm.known().volumes
        names = [self._names.volume(volume_id) for volume_id in volume_ids]
        self._site.activate_all([name for name in names if name in there and not there[name].active])

    def ensure_export(self, volume: VolumeRef, accesses: Sequence[Access], force: bool = False) -> None:
        path, size = self._site.device(self._names.volume(volume.id), f"volume {volume.id}")
        self._target.apply(Export(volume.id, path, size, tuple(accesses)), force)

    def remove_export(self, volume: VolumeRef, force: bool = False) -> None:
        self._target.remove(volume.id, force)

    def connection_info(self, volume: VolumeRef, access: Access) -> dict[str, Any]:
        path = self._lvm.device(self._names.volume(volume.id))
        return self._target.connection_info(Export(volume.id, path, volume.size * GIB, (access,)), access)

    def exports(self) -> Mapping[str, ActualExport]:
        return self._target.exports()

    def audit(self) -> Sequence[Leftover]:
        volumes = self._lvm.look().volumes
        ours = [(found, told(found.name, found.tags, volumes)) for found in volumes.values() if self._is_ours(found)]
        data = [self._leftover(found, *what) for found, what in ours if what is not None]
        return data + list(self._target.audit())

    def remove_leftover(self, leftover: Leftover) -> None:
        if leftover.kind == "export":
            self._target.remove_leftover(leftover)
            return
        name = leftover.where.removeprefix(f"{self._lvm.group}/")
        found = self._lvm.look().volumes.get(name)
        if found is None:
            return
        if not self._is_ours(found):
            reason = "it does not carry this backend's mark"
            raise BackendInvalid(backend=self._setup.backend, what=leftover.where, reason=reason)
        kind, resource_id = parsed(name)
        if meant(name, found.tags) is not None:
            managing.unmark(self._site, found, leftover.where)
        elif kind == "volume" and resource_id is not None:
            if self.delete(VolumeRef(resource_id, 0, leftover.where)) is not None:
                self._thick.purge(resource_id, unwatched)
        elif kind == "remains" and resource_id is not None:
            self._thick.purge(resource_id, unwatched)
        else:
            self._site.remove(name, leftover.where)

    def manageable_volumes(self) -> Sequence[Manageable]:
        return list(managing.manageable(self._site, self._lvm.look(), self._thin_pool(), snapshots=False))

    def manageable_snapshots(self) -> Sequence[Manageable]:
        return list(managing.manageable(self._site, self._lvm.look(), self._thin_pool(), snapshots=True))

    def managed_size(self, reference: Reference) -> int:
        group = self._lvm.look()
        return managing.size_in_gib(self._wanted(group, reference, snapshot=False), group)

    def manage(self, volume: VolumeRef, reference: Reference) -> Facts:
        name, what, group = self._names.volume(volume.id), f"volume {volume.id}", self._lvm.look()
        found = managing.taken(self._site, group, name) or self._wanted(group, reference, snapshot=False)
        if managing.size_in_gib(found, group) > volume.size:
            reason = f"it is larger than {volume.size} GiB"
            raise BackendInvalid(backend=self._setup.backend, what=f"logical volume {found.name}", reason=reason)
        managing.take(self._site, found, name, what)
        if not self._volumes.is_whole(found, volume.size * GIB):
            self._volumes.grow(name, volume.size * GIB, what)
        return {}

    def unmanage(self, volume: VolumeRef) -> None:
        managing.give(self._site, self._names.volume(volume.id), f"volume {volume.id}")

    def managed_snapshot_size(self, reference: Reference) -> int:
        group = self._lvm.look()
        return managing.size_in_gib(self._wanted(group, reference, snapshot=True), group)

    def manage_snapshot(self, snapshot: SnapshotRef, reference: Reference) -> Facts:
        name, what, group = self._names.snapshot(snapshot.id), f"snapshot {snapshot.id}", self._lvm.look()
        found = managing.taken(self._site, group, name) or self._wanted(group, reference, snapshot=True)
        origin = self._names.volume(snapshot.volume.id)
        is_forgotten = found.pool and not found.origin  # LVM does not know any more: its volume was reverted
        if found.origin != origin and not is_forgotten:
            reason = f"it is a snapshot of {found.origin}, not of {origin}"
            raise BackendInvalid(backend=self._setup.backend, what=f"logical volume {found.name}", reason=reason)
        managing.take(self._site, found, name, what)
        return {}

    def unmanage_snapshot(self, snapshot: SnapshotRef) -> None:
        managing.give(self._site, self._names.snapshot(snapshot.id), f"snapshot {snapshot.id}")

    def _copy(self, volume: VolumeRef, source: str, progress: Progress) -> Facts:
        name = self._names.volume(volume.id)
        self._volumes.copy(source, name, volume.size * GIB, f"volume {volume.id}", progress)
        return {}

    def _wanted(self, group: Group, reference: Reference, snapshot: bool) -> LogicalVolume:
        return managing.wanted(self._site, group, reference, self._thin_pool(), snapshot)

    def _refuse_unread_configuration(self) -> None:
        """Before LVM is asked anything: without its filter it looks at what tenants have written, too."""
        options = self._setup.options
        if (reason := unread_configuration(options)) is not None:
            what = f"lvm_conf_file = {options.lvm_conf_file}"
            raise BackendInvalid(backend=self._setup.backend, what=what, reason=reason)

    def _claim(self, group: Group) -> None:
        """Mark the group as ours. Raises ``BackendInvalid`` naming the owner when it is another's."""
        mark, marks = self._names.mark, owner_of(group.tags)
        if others := [each for each in marks if each != mark]:
            what, reason = f"volume group {self._lvm.group}", f"it belongs to {', '.join(others)}"
            raise BackendInvalid(backend=self._setup.backend, what=what, reason=reason)
        if not marks:
            try:
                self._lvm.change("claim", "vgchange", "-y", "--addtag", mark, self._lvm.group)
            except Refused as refused:
                raise self._site.failed("its mark", refused) from refused
            crash_point("lvm.claim.told")

    def _chosen(self, group: Group) -> Thin | Thick:
        kind, thin = self._setup.options.lvm_type, Thin(self._site, self._pool, self._governor)
        ours = [each for each in group.volumes.values() if self._is_ours(each) and parsed(each.name)[0] == "volume"]
        if kind == "auto":
            is_thin = bool(ours[0].pool) if ours else self._pool in group.volumes or not group.volumes
            kind = "thin" if is_thin else "thick"
        if others := [each.name for each in ours if bool(each.pool) != (kind == "thin")]:
            # They would be grown, cleared and removed as what they are not.
            reason = f"{len(others)} volumes in {self._lvm.group} are not {kind}, such as {others[0]}"
            raise BackendInvalid(backend=self._setup.backend, what=f"lvm_type = {kind}", reason=reason)
        return thin if kind == "thin" else self._thick

    def _thin_pool(self) -> str | None:
        return self._pool if isinstance(self._volumes, Thin) else None

    def _tend(self, group: Group) -> None:
        """What a fresh read says of the pool. Raises ``BackendUnreachable`` while it is broken."""
        self._volumes.check(group)
        pool = group.volumes.get(self._pool)
        if group is not self._observed and pool is not None and isinstance(self._volumes, Thin):
            self._governor.observe(pool)
            self._governor.tend(self._lvm, group, pool)
        self._observed = group

    def _is_ours(self, found: LogicalVolume) -> bool:
        return self._names.mark in found.tags and found.segtype != "thin-pool"

    def _leftover(self, found: LogicalVolume, kind: str, resource_id: str | None) -> Leftover:
        if UNREADY in found.tags and kind == "volume":
            kind = "temporary"
        # The size of a thick snapshot is that of the room for changes.
        size = None if found.origin and not found.pool else found.size
        return Leftover(kind, resource_id, self._site.path(found.name), f"{found.size} bytes", size)

    def _pool_capabilities(self, group: Group) -> PoolCapabilities:
        total, free = self._volumes.capacity(group)
        options, is_thin = self._setup.options, isinstance(self._volumes, Thin)
        ratio = options.lvm_max_over_subscription_ratio or options.max_over_subscription_ratio
        return PoolCapabilities(
            name=self._lvm.group,
            storage_id=group.uuid,
            total_gib=total / GIB,
            free_gib=None if free is None else free / GIB,
            foreign_gib=self._volumes.foreign(group) / GIB,
            reserved_percentage=options.reserved_percentage,
            max_over_subscription_ratio=ratio if is_thin else 1.0,
            thin_provisioning=is_thin,
            features={"lvm_type": self._volumes.name} | self._pool_state(group),
        )

    def _pool_state(self, group: Group) -> dict[str, Any]:
        pool = group.volumes.get(self._pool)
        if pool is None or not isinstance(self._volumes, Thin):
            return {}
        left = self._governor.seconds_left()
        return {
            "pool_data_percent": pool.data_percent,
            "pool_metadata_percent": pool.metadata_percent,
            SECONDS_LEFT: None if left is None else round(left),
            TAKES_NO_MORE: self._governor.refusal(pool),
        }

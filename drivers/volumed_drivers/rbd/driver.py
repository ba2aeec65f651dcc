"""Volumes as images of one Ceph pool, reached by whoever has a key of the cluster: there is no target in between.

Puts the parts together and says in the backend's family what they raise. Knows nothing of status or RPC.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from volumed.driver.errors import BackendBusy, BackendInvalid
from volumed.driver.interface import (
    Access,
    ActualExport,
    Capabilities,
    Facts,
    Leftover,
    Manageable,
    Owner,
    PoolCapabilities,
    Progress,
    Reference,
    Remains,
    SnapshotRef,
    VolumeRef,
    unwatched,
)
from volumed.driver.registry import Setup
from volumed_drivers.rbd.connection import Connection
from volumed_drivers.rbd.fence import Fence
from volumed_drivers.rbd.found import Found
from volumed_drivers.rbd.headers import Header, Headers
from volumed_drivers.rbd.images import Images
from volumed_drivers.rbd.lineage import Lineage
from volumed_drivers.rbd.managing import Managing
from volumed_drivers.rbd.monitors import monitors
from volumed_drivers.rbd.names import Marker, is_clone_snapshot, snapshot_name, volume_name
from volumed_drivers.rbd.opened import refuse_if_watched
from volumed_drivers.rbd.options import OPTIONS, WITHOUT_EFFECT
from volumed_drivers.rbd.register import Register
from volumed_drivers.rbd.stats import GIB, Figures, Stats
from volumed_drivers.rbd.trash import Trash

LOG = logging.getLogger(__name__)

VERSION = "1.0"

#: Bits of a byte of a MiB: an object of 1 MiB has the order 20.
MIB_ORDER = 20


class RbdDriver:
    """The ``rbd`` driver: one pool, or one namespace of it."""

    OPTIONS = OPTIONS

    def __init__(self, setup: Setup) -> None:
        self._setup, self._options = setup, setup.options
        self._backend = setup.backend
        owner = Owner(setup.owner.deployment, setup.service)  # nodes have backends of one name on one pool
        self._connection = Connection(setup.backend, setup.options, Fence(owner))
        self._headers = Headers(self._connection)
        self._marker = Marker(owner)
        self._register = Register(self._connection, owner)
        order = MIB_ORDER + int(math.log2(setup.options.rbd_store_chunk_size))
        self._images = Images(self._connection, self._headers, self._register, self._marker, order)
        delay = setup.options.deferred_deletion_delay if setup.options.enable_deferred_deletion else 0
        self._trash = Trash(self._images, delay)
        self._lineage = Lineage(
            self._images, setup.options.rbd_max_clone_depth, setup.options.rbd_flatten_volume_from_snapshot
        )
        self._managing = Managing(self._images)
        self._found = Found(self._images, self._trash)
        self._stats = Stats(self._connection, self._headers, self._marker, setup.options.rbd_pool)
        self._storage_id = ""
        for name, reason in WITHOUT_EFFECT.items():
            if getattr(setup.options, name) is not None:
                LOG.warning("[%s] %s has no effect: %s", setup.backend, name, reason)

    # --- itself ------------------------------------------------------------------------------------------------------

    def do_setup(self) -> None:
        with self._connection.translated(f"pool {self._connection.place}", changes=True):
            self._storage_id = f"{self._connection.fsid}/{self._connection.place}"
            self._register.prepare()

    def check_for_setup_error(self) -> None:
        size = self._options.rbd_store_chunk_size
        if size & (size - 1):
            raise BackendInvalid(
                backend=self._backend,
                what=f"[{self._backend}] rbd_store_chunk_size = {size}",
                reason="it is not a power of 2",
            )
        with self._connection.translated(f"pool {self._connection.place}"):
            self._connection.modules.rbd.RBD().list(self._connection.ioctx)

    def close(self) -> None:
        self._connection.close()

    def check_health(self) -> bool:
        """Raise while the pool does not answer; no export is ever lost, for who was let in is written in the pool."""
        with self._connection.translated(f"pool {self._connection.place}"):
            self._register.confirm()
        return False

    def capabilities(self) -> Capabilities:
        return Capabilities(
            driver="rbd",
            storage_protocol="ceph",
            vendor_name="volumed",
            driver_version=VERSION,
            online_extend_support=True,
            multiattach=True,
            snapshot_attached_support=True,
            pools=(self._pool_capabilities(),),
        )

    def _pool_capabilities(self) -> PoolCapabilities:
        with self._connection.translated(f"the figures of pool {self._connection.place}"):
            figures = self._stats.figures()
        return PoolCapabilities(
            name=self._options.rbd_pool,
            storage_id=self._storage_id,
            total_gib=None if figures.total is None else figures.total / GIB,
            free_gib=None if figures.free is None else figures.free / GIB,
            foreign_gib=self._foreign(figures) / GIB,
            reserved_percentage=self._options.reserved_percentage,
            max_over_subscription_ratio=self._options.max_over_subscription_ratio,
            thin_provisioning=True,
            features={"namespace": self._options.rbd_namespace},
        )

    def _foreign(self, figures: Figures) -> float:
        """Bytes that others have of the pool's promises, and not of its bytes: theirs are thin, as ours are.

        What they have stored is no longer free. The scheduler takes this off before the ratio, so it is divided by it:
        the ceiling is then all that the pool may promise, less what they promise.
        """
        if self._options.rbd_exclusive_cinder_pool:
            return 0.0
        foreign = float(self._stats.promised_by_others() / self._options.max_over_subscription_ratio)
        return foreign if figures.total is None else min(foreign, figures.total)

    # --- volumes -----------------------------------------------------------------------------------------------------

    def create(self, volume: VolumeRef, progress: Progress = unwatched) -> Facts:
        with self._changing(volume):
            self._images.create(volume.id, volume.size * GIB)
        return {}

    def create_from_snapshot(self, volume: VolumeRef, snapshot: SnapshotRef, progress: Progress) -> Facts:
        with self._changing(volume):
            self._images.clone(volume.id, snapshot.volume.id, snapshot_name(snapshot.id), volume.size * GIB)
        return {}

    def create_from_volume(self, volume: VolumeRef, source: VolumeRef, progress: Progress) -> Facts:
        with self._changing(volume):
            self._images.clone_of_volume(volume.id, source.id, volume.size * GIB)
        return {}

    def extend(self, volume: VolumeRef, new_size: int, progress: Progress = unwatched) -> None:
        with self._changing(volume):
            self._images.extend(volume.id, new_size * GIB)

    def delete(self, volume: VolumeRef) -> Remains | None:
        with self._changing(volume):
            left = self._delete(volume.id)
        if not left:
            return None
        return Remains(f"image {', '.join(left)} in the trash of {self._connection.place}")

    def _delete(self, volume_id: str) -> list[str]:
        """The ids of the images that are in the trash then."""
        with self._register.asking_intent(volume_id) as answer:
            found = self._headers.find(volume_name(volume_id))
            intent = answer()
        if found is not None and self._marker.is_whole(found.metadata, volume_id):
            self._refuse_if_needed(volume_id, found)
            self._trash.move(volume_id)
            left = [found.image_id]
        elif intent is None and found is not None:
            raise self._images.foreign(volume_id)
        else:
            left = [entry.image_id for entry in self._trash.finish(volume_id)]
            if intent is not None:
                self._images.discard(volume_id, intent)
        if intent is not None:
            self._register.forget_intent(volume_id)
        return left

    def _refuse_if_needed(self, volume_id: str, found: Header) -> None:
        what = f"volume {volume_id}"
        taken = [snapshot.name for snapshot in found.user_snapshots if not is_clone_snapshot(snapshot.name)]
        if taken:
            raise BackendBusy(what=what, backend=self._backend, reason=f"it has snapshots: {', '.join(sorted(taken))}")
        refuse_if_watched(self._connection, what, found.image_id)

    def purge(self, volume: VolumeRef, progress: Progress) -> None:
        with self._changing(volume):
            for entry in list(self._trash.entries(volume.id)):
                self._trash.purge(entry, progress)
            self._register.forget_former(volume.id)

    def wants_flatten(self, volume: VolumeRef) -> bool:
        with self._connection.translated(f"volume {volume.id}"):
            return self._lineage.is_too_deep(volume.id)

    def flatten(self, volume: VolumeRef, progress: Progress) -> None:
        with self._changing(volume):
            self._lineage.flatten(volume.id, progress)

    def has_volume(self, volume: VolumeRef) -> bool:
        with self._connection.translated(f"volume {volume.id}"):
            found = self._images.whole(volume.id)
            return found is not None and found.size >= volume.size * GIB and self._headers.lost_parent(found) is None

    # --- snapshots ---------------------------------------------------------------------------------------------------

    def create_snapshot(self, snapshot: SnapshotRef, attached: bool, progress: Progress) -> Facts:
        with self._connection.translated(f"snapshot {snapshot.id}", changes=True):
            self._images.take_snapshot(snapshot.volume.id, snapshot_name(snapshot.id))
        return {}

    def revert(self, volume: VolumeRef, snapshot: SnapshotRef, progress: Progress) -> Facts:
        with self._changing(volume):
            self._images.revert(volume.id, snapshot_name(snapshot.id), volume.size * GIB, progress)
        return {}

    def delete_snapshot(self, snapshot: SnapshotRef) -> None:
        with self._connection.translated(f"snapshot {snapshot.id}", changes=True):
            self._images.remove_snapshot(snapshot.volume.id, snapshot_name(snapshot.id))
            self._register.forget_former(snapshot.id)

    def has_snapshot(self, snapshot: SnapshotRef) -> bool:
        with self._connection.translated(f"snapshot {snapshot.id}"):
            found = self._images.whole(snapshot.volume.id)
            taken = None if found is None else found.snapshot(snapshot_name(snapshot.id))
        return taken is not None and taken.size >= snapshot.size * GIB

    # --- what others made --------------------------------------------------------------------------------------------

    def manageable_volumes(self) -> Sequence[Manageable]:
        with self._connection.translated(f"the images of {self._connection.place}"):
            return list(self._managing.volumes())

    def manageable_snapshots(self) -> Sequence[Manageable]:
        with self._connection.translated(f"the images of {self._connection.place}"):
            return list(self._managing.snapshots())

    def managed_size(self, reference: Reference) -> int:
        with self._connection.translated(f"image {dict(reference)}"):
            return self._managing.size(reference)

    def manage(self, volume: VolumeRef, reference: Reference) -> Facts:
        with self._changing(volume):
            self._managing.take(volume.id, reference, volume.size)
        return {}

    def unmanage(self, volume: VolumeRef) -> None:
        with self._changing(volume):
            self._managing.give(volume.id)

    def managed_snapshot_size(self, reference: Reference) -> int:
        with self._connection.translated(f"snapshot {dict(reference)}"):
            return self._managing.snapshot_size(reference)

    def manage_snapshot(self, snapshot: SnapshotRef, reference: Reference) -> Facts:
        with self._connection.translated(f"snapshot {snapshot.id}", changes=True):
            self._managing.take_snapshot(snapshot.volume.id, snapshot.id, reference)
        return {}

    def unmanage_snapshot(self, snapshot: SnapshotRef) -> None:
        with self._connection.translated(f"snapshot {snapshot.id}", changes=True):
            self._managing.give_snapshot(snapshot.volume.id, snapshot.id)

    # --- exports: nobody stands between a client and the cluster, so this is who was let in by volumed --------------

    def ensure_export(self, volume: VolumeRef, accesses: Sequence[Access], force: bool = False) -> None:
        with self._changing(volume):
            self._images.needed(volume.id)
            self._register.let_in(volume.id, list(accesses))

    def remove_export(self, volume: VolumeRef, force: bool = False) -> None:
        with self._changing(volume):
            self._register.shut_out(volume.id)

    def exports(self) -> Mapping[str, ActualExport]:
        with self._connection.translated(f"the register of {self._connection.place}"):
            return {volume_id: self._export(volume_id, told) for volume_id, told in self._register.let_in_now()}

    def _export(self, volume_id: str, told: Mapping[str, Sequence[str]]) -> ActualExport:
        found = self._images.whole(volume_id)
        return ActualExport(
            volume_id=volume_id,
            path=None if found is None else f"{self._connection.place}/{volume_name(volume_id)}",
            size_bytes=0 if found is None else found.size,
            usernames=frozenset(told["usernames"]),
            initiators=frozenset(told["initiators"]),
            sessions=(),
        )

    def connection_info(self, volume: VolumeRef, access: Access) -> dict[str, Any]:
        """Whatever os-brick's RBD connector reads; the key itself is known to the client already, or to libvirt."""
        with self._connection.translated("the monitors"):
            addresses = monitors(self._connection)
        options = self._options
        return {
            "driver_volume_type": "rbd",
            "data": {
                "name": f"{self._connection.place}/{volume_name(volume.id)}",
                "hosts": [address.host for address in addresses],
                "ports": [str(address.port) for address in addresses],
                "cluster_name": options.rbd_cluster_name,
                "auth_enabled": True,
                "auth_method": "cephx",
                "auth_username": options.rbd_user or "admin",
                "secret_type": "ceph",
                "secret_uuid": options.rbd_secret_uuid,
                "volume_id": volume.id,
                "discard": options.report_discard_supported,
                "access_mode": "ro" if access.read_only else "rw",
            },
        }

    # --- what is there -----------------------------------------------------------------------------------------------

    def audit(self) -> Sequence[Leftover]:
        with self._connection.translated(f"pool {self._connection.place}"):
            found = list(self._found.data())
            exported = [
                Leftover("export", volume_id, f"{self._connection.place}/{volume_name(volume_id)}", "in the register")
                for volume_id, _ in self._register.let_in_now()
            ]
        return found + exported

    def remove_leftover(self, leftover: Leftover) -> None:
        with self._connection.translated(leftover.where, changes=True):
            if leftover.kind == "export" and leftover.id is not None:
                self._register.shut_out(leftover.id)
            else:
                self._found.remove(leftover)

    def _changing(self, volume: VolumeRef) -> Any:
        return self._connection.translated(f"volume {volume.id}", changes=True)

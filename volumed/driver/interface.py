"""What a driver and a target must be.

A driver turns a wish into a fact on one backend and knows nothing else: no database, no RPC, no status. Every call is
idempotent (asked again, it finds its work complete and returns the same), safe to interrupt (killed anywhere and asked
again, it finishes or undoes), bounded in time, and raises only the backend's family of ``volumed.driver.errors``.
"In place" means equal (complete, right size), never merely present: copies go to a temporary name and are renamed when
they are complete and flushed. Every external effect stands between two crash points.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Facts = dict[str, Any]

#: Told how many of how many bytes are done, which is a sign of life: what is silent for long is taken for stuck. It may
#: raise to stop the call, which leaves what a repeat goes on with and a delete removes.
Progress = Callable[[int, int], None]


def unwatched(done: int, total: int) -> None:
    """A progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose something on a backend is: carried by whatever a driver makes there."""

    deployment: str
    backend: str


@dataclass(frozen=True, slots=True)
class VolumeRef:
    """A volume as a driver sees it. ``size`` is in GiB; ``facts`` is what the driver returned before."""

    id: str
    size: int
    pool: str
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SnapshotRef:
    """A snapshot of ``volume``; ``size`` (GiB) is the volume's when it was taken."""

    id: str
    volume: VolumeRef
    size: int
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may log in to a volume's export: one attachment's initiator with its CHAP credentials.

    ``password`` is kept out of ``repr``.
    """

    attachment_id: str
    #: The initiator's IQN; None: any initiator that knows the credentials (tgt; LIO lets in by name only).
    initiator: str | None
    read_only: bool
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Export:
    """A wanted export: exactly these accesses and nobody else. ``path`` is the block device or file behind it."""

    volume_id: str
    path: str
    size_bytes: int
    accesses: tuple[Access, ...]


#: Stands for every initiator.
EVERYBODY = "ALL"


@dataclass(frozen=True, slots=True)
class ActualExport:
    """An export as it is found. ``usernames`` and ``initiators`` are what may log in; ``path`` None: it has no disk."""

    volume_id: str
    path: str | None
    size_bytes: int
    usernames: frozenset[str]
    #: ``EVERYBODY`` among them: whoever knows a secret.
    initiators: frozenset[str]
    #: Initiators that are logged in now.
    sessions: tuple[str, ...]


#: Features of a pool that can be overfilled by what is written into its volumes: seconds until it is full as it fills
#: now, and why nothing is made in it for the time being; None: neither.
SECONDS_LEFT, TAKES_NO_MORE = "pool_seconds_left", "pool_takes_no_more"


@dataclass(frozen=True, slots=True)
class PoolCapabilities:
    """One pool as it is now. Sizes in GiB; ``None`` is unknown, which is not full."""

    name: str
    #: The same for every service that can reach this very storage.
    storage_id: str
    total_gib: float | None
    free_gib: float | None
    #: Space used by others than volumed's volumes, GiB.
    foreign_gib: float
    reserved_percentage: int
    max_over_subscription_ratio: float
    thin_provisioning: bool
    features: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do. ``snapshot_attached_support``: a snapshot of an attached volume is a true instant."""

    driver: str
    storage_protocol: str
    vendor_name: str
    driver_version: str
    online_extend_support: bool
    multiattach: bool
    snapshot_attached_support: bool
    pools: tuple[PoolCapabilities, ...]


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something on the backend that is ours by its mark. ``kind``: volume, snapshot, temporary, remains, export.

    Remains have the id of the volume that they are of; they are not removed as a leftover but purged (``Purges``).
    """

    kind: str
    id: str | None
    where: str
    detail: str
    #: Of a volume or snapshot, where the audit sees it for nothing; None: ask ``has_volume`` or ``has_snapshot``.
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Remains:
    """What a delete left of a volume that takes long to free; ``detail`` says what, for people. See ``Purges``."""

    detail: str


#: What names something on a backend that volumed does not manage yet, such as ``{"source-name": NAME}``.
Reference = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manageable:
    """A volume or snapshot that is found on the backend. ``size`` in GiB, rounded up.

    ``id``: of the one that it is already; then ``safe_to_manage`` is False, and ``reason_not_safe`` says so.
    ``source_reference``: of a snapshot, the volume that it was taken of.
    """

    reference: Reference
    size: int
    safe_to_manage: bool
    reason_not_safe: str | None = None
    id: str | None = None
    source_reference: Reference | None = None
    extra_info: str | None = None


class Driver(Protocol):
    """One backend. Made from its configuration group; ``do_setup`` is the first call and may be repeated."""

    def do_setup(self) -> None:
        """Connect and prepare. Raises ``BackendUnreachable`` or ``BackendInvalid``; tried again for ever."""

    def check_for_setup_error(self) -> None:
        """Raise what would keep the backend from working, naming the option and the limit."""

    def close(self) -> None:
        """Let go of everything that must not outlive the service. Exports with sessions stay."""

    def check_health(self) -> bool:
        """Bring back what died beside us, such as a target daemon; cheap enough to be asked every few seconds.

        True from when exports were lost that way until ``exports`` is read: then they must be reconciled.
        Raises ``BackendUnreachable`` when it cannot be brought back.
        """

    def capabilities(self) -> Capabilities:
        """What the backend is and has now; cheap enough to be asked every few seconds."""

    def create(self, volume: VolumeRef, progress: Progress = unwatched) -> Facts:
        """Make an empty volume that reads as zeros. Raises ``BackendFull``."""

    def create_from_snapshot(self, volume: VolumeRef, snapshot: SnapshotRef, progress: Progress) -> Facts:
        """Make a volume with the snapshot's data, grown to its size. ``BackendNotFound``, ``BackendFull``."""

    def create_from_volume(self, volume: VolumeRef, source: VolumeRef, progress: Progress) -> Facts:
        """Make a volume with the source's data as it is now, grown to ``volume.size``."""

    def delete(self, volume: VolumeRef) -> Remains | None:
        """Remove the volume, whole or half-made; an absent one is fine. ``BackendBusy`` if in use.

        When it returns the volume's name is free and nobody reaches its data. None: so is its space; else what remains
        is to be purged (see ``Purges``), and a repeat returns it again.
        """

    def extend(self, volume: VolumeRef, new_size: int, progress: Progress = unwatched) -> None:
        """Grow to ``new_size`` GiB; a no-op when it has it; never shrinks. ``BackendNotFound``, ``BackendFull``."""

    def create_snapshot(self, snapshot: SnapshotRef, attached: bool, progress: Progress) -> Facts:
        """Take a snapshot. ``attached`` and no true instant possible: ``BackendInvalid`` with the reason."""

    def delete_snapshot(self, snapshot: SnapshotRef) -> None:
        """Remove the snapshot, whole or half-made; an absent one is fine."""

    def has_volume(self, volume: VolumeRef) -> bool:
        """True when the volume is there complete, with at least its size."""

    def has_snapshot(self, snapshot: SnapshotRef) -> bool:
        """True when the snapshot is there complete."""

    def ensure_export(self, volume: VolumeRef, accesses: Sequence[Access], force: bool = False) -> None:
        """Make the volume reachable for exactly ``accesses``; none of them: a target that lets nobody in.

        What is equal already is not touched; sessions of accesses that stay are not cut. Those of accesses that go are
        treated as in ``remove_export``. Raises ``BackendNotFound``.
        """

    def remove_export(self, volume: VolumeRef, force: bool = False) -> None:
        """Remove the export; an absent one is fine. A live session is cut with ``force``.

        Without it a target either cuts it, too (tgt: the detach was asked for), or waits a moment for its end and
        raises ``BackendBusy`` naming the initiator (lio: whoever detaches logs out first).
        """

    def connection_info(self, volume: VolumeRef, access: Access) -> dict[str, Any]:
        """What the connector needs: ``{"driver_volume_type", "data": {...}}``, WITH the credentials. Makes no effect.

        Source: os-brick's connection properties.
        """

    def exports(self) -> Mapping[str, ActualExport]:
        """Every export of this backend by volume id, read in one pass; strangers' are not in it."""

    def audit(self) -> Sequence[Leftover]:
        """Everything on the backend that carries this backend's mark: volumes, snapshots, temporaries, exports."""

    def remove_leftover(self, leftover: Leftover) -> None:
        """Remove exactly what an audit found, nothing beside it; an absent one is fine. ``BackendBusy`` if in use."""


@runtime_checkable
class Purges(Protocol):
    """A driver whose deletes may leave what takes long to free: a volume to be wiped, an image in the trash."""

    def purge(self, volume: VolumeRef, progress: Progress) -> None:
        """Free what ``delete`` left of the volume, going on where an earlier call was interrupted; none of it is fine.

        Raises ``BackendBusy`` when it cannot go yet (a clone lives on it); it is tried again without anyone asking.
        """


@runtime_checkable
class Closes(Protocol):
    """A driver whose pools fill up by what is written into their volumes, and take no more then."""

    def closed_pools(self) -> frozenset[str]:
        """Names of those that take no more, as they were seen last; asks nothing."""


@runtime_checkable
class Fills(Protocol):
    """A driver that may have to write all of what it makes or grows, which takes as long as a copy."""

    def fills(self) -> bool:
        """Whether it does; known once it is set up."""


@runtime_checkable
class Flattens(Protocol):
    """A driver whose copies share data with their source, and can be made independent of it later."""

    def wants_flatten(self, volume: VolumeRef) -> bool:
        """Whether the volume, just created, should be flattened; cheap."""

    def flatten(self, volume: VolumeRef, progress: Progress) -> None:
        """Copy what the volume shares, going on where an earlier call was interrupted; an independent one is fine."""


@runtime_checkable
class Prepares(Protocol):
    """A driver that brings many volumes to where they can be exported in fewer steps than one by one."""

    def prepare_exports(self, volume_ids: Sequence[str]) -> None:
        """Told which volumes are exported next, as after a reboot of the node; what fails is told by their exports."""


@runtime_checkable
class Reverts(Protocol):
    """A driver that can bring a volume back to its latest snapshot."""

    def revert(self, volume: VolumeRef, snapshot: SnapshotRef, progress: Progress) -> Facts:
        """Make the volume's data the snapshot's; its size stays, and the snapshot. It is not attached.

        Killed anywhere, the volume has its old data or the new, and a repeat finishes. ``BackendNotFound``.
        """


@runtime_checkable
class Manages(Protocol):
    """A driver that can take over what others made on its backend, and give it away."""

    def manageable_volumes(self) -> Sequence[Manageable]:
        """Everything on the backend that could be a volume, managed or not."""

    def manageable_snapshots(self) -> Sequence[Manageable]:
        """Everything on the backend that could be a snapshot, managed or not."""

    def managed_size(self, reference: Reference) -> int:
        """Its size in GiB, rounded up. ``BackendNotFound``; ``BackendInvalid`` names what of the reference is wrong."""

    def manage(self, volume: VolumeRef, reference: Reference) -> Facts:
        """Make what ``reference`` names the volume, with our mark and at least its size; its data stay.

        ``BackendInvalid`` when it is another's, or larger than ``volume.size``. What it was called is kept where
        ``unmanage`` finds it, from before the first change: the facts of a killed call are lost.
        """

    def unmanage(self, volume: VolumeRef) -> None:
        """Take our mark off and keep the data; an absent one is fine. ``BackendBusy`` if in use.

        It is the undo of ``manage``, too, killed anywhere or never begun: what was taken over is called again what it
        was called before, as if nothing had happened.
        """

    def managed_snapshot_size(self, reference: Reference) -> int:
        """As ``managed_size``."""

    def manage_snapshot(self, snapshot: SnapshotRef, reference: Reference) -> Facts:
        """As ``manage``; ``BackendInvalid`` when it is a snapshot of another volume."""

    def unmanage_snapshot(self, snapshot: SnapshotRef) -> None:
        """As ``unmanage``."""


class Target(Protocol):
    """What makes a local path reachable over a protocol; a driver is composed with one."""

    #: ``iSCSI`` and the like, for the capabilities.
    storage_protocol: str

    #: Whether an open session sees that its volume has grown.
    shows_growth: bool

    def setup(self) -> None:
        """Start or adopt the target daemon. Raises ``BackendUnreachable`` naming the missing package."""

    def close(self) -> None:
        """Stop the daemon unless an initiator is logged in; then leave it, and log who."""

    def apply(self, export: Export, force: bool = False) -> None:
        """Make the export of this volume exactly this one, touching only what differs.

        Sessions of accesses that go are treated as in ``Driver.remove_export``.
        """

    def remove(self, volume_id: str, force: bool = False) -> None:
        """Remove the volume's export; an absent one is fine."""

    def exports(self) -> Mapping[str, ActualExport]:
        """Every export of this backend, read in one pass."""

    def check_health(self) -> bool:
        """As ``Driver.check_health``: start the daemon again if it died, and say when exports were lost."""

    def sessions(self, volume_id: str) -> tuple[str, ...]:
        """Initiators that are logged in to the volume's export now; cheap, however many exports there are."""

    def audit(self) -> Sequence[Leftover]:
        """Every export of this backend, and what a killed call left of one."""

    def remove_leftover(self, leftover: Leftover) -> None:
        """Remove an export, or the part of one, that ``audit`` found; an absent one is fine."""

    def connection_info(self, export: Export, access: Access) -> dict[str, Any]:
        """What an initiator needs to log in, with the credentials; makes no effect."""

"""What the state machine holds to be true: volumes, snapshots and attachments by small names, and the quota.

Pure values; asks no server. A request that has a reason to be refused must be, with one of its reasons' codes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

#: Statuses that stay whatever the attachments are.
BROKEN = frozenset({"error", "error_extending", "error_deleting"})

#: Statuses in which something is on its way.
MOVING = frozenset({"creating", "extending", "deleting"})

BAD, GONE, FULL = 400, 404, 413


@dataclass
class Volume:
    """``fixed`` is a status that does not follow from attachments; ``readers`` are what is being copied from it.

    ``is_made``: whether there is data of it; ``growing``: GiB of a growth that is under way.
    """

    id: str
    size: int
    fixed: str | None = None
    mark: bytes = b""
    metadata: dict[str, str] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)
    growing: int = 0
    is_made: bool = True


@dataclass
class Snapshot:
    id: str
    volume: str
    size: int
    status: str = "available"
    mark: bytes = b""
    readers: set[str] = field(default_factory=set)


@dataclass
class Attachment:
    id: str
    volume: str
    status: str


@dataclass
class Expectation:
    """Everything that is there, by its small name."""

    volumes: dict[str, Volume] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    attachments: dict[str, Attachment] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    named: int = 0

    def name(self, letter: str) -> str:
        """A new small name."""
        self.named += 1
        return f"{letter}{self.named}"

    # --- what follows -----------------------------------------------------------------------------------------------

    def status(self, volume: str) -> str:
        known = self.volumes[volume]
        if known.fixed is not None:
            return known.fixed
        statuses = {each.status for each in self.attachments_of(volume)}
        if statuses & {"attached", "error_detaching"}:
            return "in-use"
        if "attaching" in statuses:
            return "attaching"
        return "reserved" if statuses else "available"

    def attachments_of(self, volume: str) -> list[Attachment]:
        return [each for each in self.attachments.values() if each.volume == volume]

    def snapshots_of(self, volume: str) -> list[str]:
        return [name for name, each in self.snapshots.items() if each.volume == volume]

    def in_use(self) -> dict[str, int]:
        """What of the quota is spent."""
        gigabytes = sum(each.size + each.growing for each in self.volumes.values())
        return {
            "volumes": len(self.volumes),
            "snapshots": len(self.snapshots),
            "gigabytes": gigabytes + sum(each.size for each in self.snapshots.values()),
        }

    # --- reasons to refuse ------------------------------------------------------------------------------------------

    def against_spending(self, **more: int) -> Iterator[int]:
        used = self.in_use()
        if any(0 <= self.limits[name] < used[name] + amount for name, amount in more.items()):
            yield FULL

    def against_reading(self, source: str) -> Iterator[int]:
        """A clone or snapshot of a volume, a volume from a snapshot."""
        if source in self.snapshots:
            if self.snapshots[source].status != "available":
                yield BAD
        elif source not in self.volumes:
            yield GONE
        elif self.status(source) not in ("available", "in-use"):
            yield BAD

    def against_extending(self, volume: str) -> Iterator[int]:
        if volume not in self.volumes:
            yield GONE
            return
        if self.status(volume) != "available" or self.volumes[volume].readers:
            yield BAD
        yield from self.against_spending(gigabytes=1)

    def against_deleting(self, volume: str, cascade: bool) -> Iterator[int]:
        if volume not in self.volumes:
            yield GONE
            return
        if self.status(volume) == "deleting":
            return  # it joins
        if self.status(volume) not in {"available", *BROKEN} or self.volumes[volume].readers:
            yield BAD
        taken = self.snapshots_of(volume)
        if self.attachments_of(volume) or (taken and not cascade):
            yield BAD
        if any(self.snapshots[each].readers for each in taken):
            yield BAD

    def against_force_deleting(self, volume: str) -> Iterator[int]:
        """Of a volume without attachments; what makes it, or lets it grow, is no reason."""
        if volume not in self.volumes:
            yield GONE
        elif self.volumes[volume].fixed != "deleting" and (self.snapshots_of(volume) or self.volumes[volume].readers):
            yield BAD

    def against_creating_again(self, volume: str, source: str | None) -> Iterator[int]:
        if source is None:
            return
        yield from self.against_reading(source)
        known = self.volumes.get(source)
        if known is not None and known.size > self.volumes[volume].size:
            yield BAD

    def against_extending_again(self, volume: str, new_size: int) -> Iterator[int]:
        known = self.volumes[volume]
        if known.fixed != "error_extending" or known.readers or known.size >= new_size:
            yield BAD
        yield from self.against_spending(gigabytes=1)

    def against_taking_again(self, snapshot: str) -> Iterator[int]:
        """Its volume must still be what it was taken of."""
        known = self.snapshots[snapshot]
        if known.status != "error" or self.volumes[known.volume].size != known.size:
            yield BAD
        yield from self.against_reading(known.volume)

    def against_deleting_snapshot(self, snapshot: str) -> Iterator[int]:
        if snapshot not in self.snapshots:
            yield GONE
            return
        known = self.snapshots[snapshot]
        if known.status not in {"available", *BROKEN} or known.readers:
            yield BAD
        if self.volumes[known.volume].fixed in MOVING:
            yield BAD

    def against_attaching(self, volume: str) -> Iterator[int]:
        if volume not in self.volumes:
            yield GONE
        elif self.status(volume) != "available":
            yield BAD

    def against_resetting(self, volume: str, to: str) -> Iterator[int]:
        known = self.volumes[volume]
        if self.status(volume) in {"attaching", *MOVING} or known.readers:
            yield BAD
        if to == "available" and (self.attachments_of(volume) or not known.is_made):
            yield BAD

    def against_completing(self, attachment: str) -> Iterator[int]:
        if attachment not in self.attachments:
            yield GONE
        elif self.attachments[attachment].status not in ("attaching", "attached"):
            yield BAD

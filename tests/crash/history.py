"""Judges the recorded history of clients against what was found afterwards: which promise was broken?

A history is what clients asked and were told, one entry an answer, in the order of the answers. What must be there at
the end follows from it, entry by entry, together with how each operation ended. Knows no server and no file system.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["volume", "snapshot"]


@dataclass(frozen=True)
class Created:
    """A volume or snapshot was accepted; ``key`` is the Idempotency-Key, ``source`` what its data comes from."""

    client: str
    kind: Kind
    id: str
    size: int
    key: str
    operation: str
    source: str | None = None


@dataclass(frozen=True)
class Extended:
    """A growth of a volume was accepted."""

    client: str
    id: str
    size: int
    operation: str


@dataclass(frozen=True)
class Deleted:
    """A delete was accepted; ``operation`` None: an earlier sending of it was, and the thing is gone already."""

    client: str
    kind: Kind
    id: str
    operation: str | None


@dataclass(frozen=True)
class Attached:
    """An attach of a volume ended, or failed; ``id`` is the attachment's."""

    client: str
    id: str
    volume: str
    operation: str


@dataclass(frozen=True)
class Detached:
    """A detach was accepted; ``operation`` None as in ``Deleted``."""

    client: str
    id: str
    operation: str | None


@dataclass(frozen=True)
class Written:
    """A client wrote ``mark`` to a volume, and the write was flushed."""

    client: str
    id: str
    mark: bytes


@dataclass(frozen=True)
class Cancelled:
    """A cancel of ``operation`` was accepted."""

    client: str
    operation: str


Entry = Created | Extended | Deleted | Attached | Detached | Written | Cancelled


@dataclass(frozen=True)
class End:
    """How an operation stands at the end, as its row says."""

    kind: str
    resource: str
    state: str
    error: str | None = None


@dataclass(frozen=True)
class Thing:
    """A volume or snapshot; ``mark`` is what its data begins with, empty for zeros."""

    size: int
    status: str = "available"
    mark: bytes = b""


@dataclass(frozen=True)
class Found:
    """What there is when everything has come to rest. ``others`` are sentences about what nothing may differ in."""

    operations: Mapping[str, End] = field(default_factory=dict)
    volumes: Mapping[str, Thing] = field(default_factory=dict)
    snapshots: Mapping[str, Thing] = field(default_factory=dict)
    attachments: frozenset[str] = frozenset()
    others: tuple[str, ...] = ()


#: Of these there is one operation in the life of a resource, whatever was sent twice.
ONCE = frozenset({"volume.create", "snapshot.create", "attachment.attach"})


class Ledger:
    """What must be there, by all entries so far. One for all rounds of a run: a round begins as the last one ended."""

    def __init__(self) -> None:
        self.volumes: dict[str, Thing] = {}
        self.snapshots: dict[str, Thing] = {}
        self.attachments: set[str] = set()

    def judge(self, history: Sequence[Entry], found: Found) -> list[str]:
        """Enter a round's history; each promise of it that was broken, in a sentence. Empty when all were kept."""
        ends = found.operations
        for entry in history:
            self._enter(entry, ends)
        return [
            *_unkept(history, ends),
            *_twice(history, ends),
            *_compared("volume", self.volumes, found.volumes),
            *_compared("snapshot", self.snapshots, found.snapshots),
            *_attachments(self.attachments, found.attachments),
            *found.others,
        ]

    def _enter(self, entry: Entry, ends: Mapping[str, End]) -> None:
        match entry:
            case Created():
                self._create(entry, _succeeded(ends, entry.operation))
            case Extended(id=volume, size=size) if _succeeded(ends, entry.operation):
                self.volumes[volume] = replace(self.volumes[volume], size=size)
            case Deleted(kind=kind, id=resource) if entry.operation is None or _succeeded(ends, entry.operation):
                self._all(kind).pop(resource, None)
            case Attached(id=attachment):
                self.attachments.add(attachment)
            case Detached(id=attachment) if entry.operation is None or _succeeded(ends, entry.operation):
                self.attachments.discard(attachment)
            case Written(id=volume, mark=mark):
                self.volumes[volume] = replace(self.volumes[volume], mark=mark)

    def _create(self, entry: Created, succeeded: bool) -> None:
        source = self.volumes.get(entry.source or "") or self.snapshots.get(entry.source or "")
        whole = Thing(entry.size, mark=source.mark if source else b"")
        self._all(entry.kind)[entry.id] = whole if succeeded else Thing(entry.size, "error")

    def _all(self, kind: Kind) -> dict[str, Thing]:
        return self.volumes if kind == "volume" else self.snapshots


def _succeeded(ends: Mapping[str, End], operation: str) -> bool:
    return operation in ends and ends[operation].state == "succeeded"


def _unkept(history: Sequence[Entry], ends: Mapping[str, End]) -> Iterator[str]:
    """Operations that did not end as they were asked to, nor were cancelled."""
    cancelled = {entry.operation for entry in history if isinstance(entry, Cancelled)}
    accepted = dict.fromkeys(entry.operation for entry in history if not isinstance(entry, Written) and entry.operation)
    for operation in accepted:
        end = ends.get(operation)
        if end is None:
            yield f"operation {operation} was accepted, and nobody knows it"
        elif end.state not in ("succeeded", "failed"):
            yield f"operation {operation} ({end.kind}) is {end.state} and has not ended"
        elif end.error == "Cancelled" and operation not in cancelled:
            yield f"operation {operation} ({end.kind}) was cancelled, and nobody asked for it"
        elif end.state == "succeeded" and operation in cancelled:
            yield f"operation {operation} ({end.kind}) succeeded, although its cancellation was accepted"
        elif end.state == "failed" and end.error != "Cancelled":
            yield f"operation {operation} ({end.kind}) failed: {end.error}"
    for operation, end in ends.items():
        if operation not in accepted and end.state != "succeeded":
            yield f"operation {operation} ({end.kind}) of no answered request is {end.state}: {end.error}"


def _twice(history: Sequence[Entry], ends: Mapping[str, End]) -> Iterator[str]:
    """One key with two resources, one resource with two operations that make it."""
    made: dict[str, str] = {}
    for entry in history:
        if isinstance(entry, Created) and made.setdefault(entry.key, entry.id) != entry.id:
            yield f"key {entry.key} made {entry.kind} {made[entry.key]} and {entry.id}"
    # A growth that was cancelled may be asked again, to the same size: each of its operations is one that was asked.
    asked = {(entry.id, entry.operation) for entry in history if isinstance(entry, Extended)}
    growths = Counter(volume for volume, _ in asked)
    counted = Counter((end.kind, end.resource) for end in ends.values())
    for (kind, resource), times in counted.items():
        allowed = 1 if kind in ONCE else growths[resource] if kind == "volume.extend" else times
        if times > allowed:
            yield f"{kind} of {resource} was carried out {times} times, and asked {allowed} times"


def _compared(kind: Kind, expected: Mapping[str, Thing], found: Mapping[str, Thing]) -> Iterator[str]:
    for resource in sorted(found.keys() - expected.keys()):
        yield f"{kind} {resource} is there, and should not be"
    for resource in sorted(expected.keys() - found.keys()):
        yield f"{kind} {resource} was promised, and is not there"
    for resource in sorted(expected.keys() & found.keys()):
        wanted, is_found = expected[resource], found[resource]
        if wanted.status != is_found.status:
            yield f"{kind} {resource} is {is_found.status}, not {wanted.status}"
        if wanted.size != is_found.size:
            yield f"{kind} {resource} has {is_found.size} GiB, not {wanted.size}"
        if wanted.status == "available" and wanted.mark != is_found.mark:
            yield f"data of {kind} {resource} begins with {is_found.mark.hex()}, not {wanted.mark.hex()}"


def _attachments(expected: set[str], found: frozenset[str]) -> Iterator[str]:
    for attachment in sorted(found - expected):
        yield f"attachment {attachment} is there, and should not be"
    for attachment in sorted(expected - found):
        yield f"attachment {attachment} was promised, and is not there"

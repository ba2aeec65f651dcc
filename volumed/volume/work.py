"""What the steps of an operation on a volume, snapshot or attachment hand on to each other."""

from collections.abc import Callable
from dataclasses import dataclass, field

from volumed.db import attachments, snapshots, volumes
from volumed.db.operations import NewOperation
from volumed.driver.interface import Facts, Remains
from volumed.model.records import Attachment, Json, Operation, Snapshot, Volume
from volumed.volume.backend import Backend


def no_progress(done: int, total: int) -> None:
    """Nobody watches."""


@dataclass(kw_only=True)
class Left:
    """What a delete of the driver left, and the operation that its end queued to purge it."""

    remains: Remains | None = None
    purge: NewOperation | None = None


@dataclass(kw_only=True)
class VolumeWork(Left):
    """An operation on ``volume``; ``facts`` is what the driver said to keep."""

    operation: Operation
    volume: Volume
    facts: Facts = field(default_factory=dict)
    #: Set when the undo could not be finished: a cleanup operation frees what is left.
    left_behind: bool = False
    #: The copy should be made independent of its source, and the operation that was queued for it.
    wants_flatten: bool = False
    flatten: NewOperation | None = None
    #: What the backend said of the data when it was asked.
    is_whole: bool = False
    #: Told of done and total bytes by long steps; it may raise to stop them.
    progress: Callable[[int, int], None] = no_progress


@dataclass(kw_only=True)
class SnapshotWork(VolumeWork):
    """An operation on ``snapshot`` of ``volume``."""

    snapshot: Snapshot


@dataclass(kw_only=True)
class AttachmentWork(VolumeWork):
    """An operation on ``attachment`` of ``volume``."""

    attachment: Attachment
    #: What the connector needs, without the secret.
    connection_info: Json = field(default_factory=dict)


def read_volume(backend: Backend, operation: Operation) -> VolumeWork:
    """The work on a volume. Raises ``NotFound``."""
    with backend.database.reading() as tx:
        return VolumeWork(operation=operation, volume=volumes.get(tx, operation.volume_id))


def read_snapshot(backend: Backend, operation: Operation) -> SnapshotWork:
    """The work on a snapshot. Raises ``NotFound``."""
    with backend.database.reading() as tx:
        return SnapshotWork(
            operation=operation,
            volume=volumes.get(tx, operation.volume_id),
            snapshot=snapshots.get(tx, operation.resource_id),
        )


def read_attachment(backend: Backend, operation: Operation) -> AttachmentWork:
    """The work on an attachment. Raises ``NotFound``."""
    with backend.database.reading() as tx:
        return AttachmentWork(
            operation=operation,
            volume=volumes.get(tx, operation.volume_id),
            attachment=attachments.get(tx, operation.resource_id),
        )

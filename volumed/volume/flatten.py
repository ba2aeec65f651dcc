"""``volume.flatten``: a copy that shares data with its source is made independent of it, after its create.

Nobody waits for it: the volume is attached, copied and extended meanwhile. Whoever deletes it has it cancelled, and
follows its end. It is tried for as long as it takes.
"""

import uuid
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection

from volumed.db import volumes
from volumed.db.operations import NewOperation
from volumed.driver.interface import Flattens
from volumed.model.records import Json, Operation
from volumed.operations.lanes import IDLE
from volumed.operations.locks import Claims
from volumed.operations.procedure import PoolChange
from volumed.volume.backend import Backend, volume_ref
from volumed.volume.capabilities import Reporter
from volumed.volume.work import VolumeWork, read_volume


def flatten_lock(volume_id: str) -> str:
    """The name of the lock of a volume's flattening, which leaves its data to others."""
    return f"flatten-{volume_id}"


@dataclass(frozen=True)
class Flatten:
    """Copy what the volume shares. A part of it is as good as none: its data is the same."""

    backend: Backend
    name: str = "flatten"

    def do(self, work: VolumeWork) -> None:
        cast(Flattens, self.backend.driver).flatten(volume_ref(work.volume), work.progress)

    def undo(self, work: VolumeWork) -> None:
        """What is copied stays."""


class FlattenVolume:
    """See the module. A delete that follows it takes the volume's row first, and so does each of its ends."""

    kind = "volume.flatten"
    no_return: str | None = None
    elsewhere = None

    def __init__(self, backend: Backend, reporter: Reporter) -> None:
        self._backend = backend
        self._reporter = reporter
        self.steps = (Flatten(backend),)

    def prepare(self, operation: Operation) -> VolumeWork:
        return read_volume(self._backend, operation)

    def locks(self, work: VolumeWork) -> Claims:
        return Claims(exclusive=[flatten_lock(work.volume.id)])

    def succeed(self, tx: Connection, work: VolumeWork) -> None:
        volumes.touch(tx, work.volume.id)

    def fail(self, tx: Connection, work: VolumeWork, error: Json) -> PoolChange | None:
        volumes.touch(tx, work.volume.id)
        return None  # the volume is whole, and shares what it shared

    def ended(self, work: VolumeWork, state: str) -> None:
        self._reporter.changed()


def flatten_after(create: Operation) -> NewOperation:
    """The flattening of what ``create`` has made; it holds the volume against nobody."""
    return NewOperation(
        id=str(uuid.uuid4()),
        kind=FlattenVolume.kind,
        resource_type="volume",
        resource_id=create.volume_id,
        volume_id=create.volume_id,
        project_id=create.project_id,
        user_id=create.user_id,
        request_id=create.request_id,
        queue=create.queue,
        lane=IDLE,
        args={"of_operation": create.id},
    )

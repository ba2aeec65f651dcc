"""``attachment.detach``: the connector's access taken away, then the row goes. No way back.

A target that does not cut a live session by itself is busy with it, until its end or until the detach is forced.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import attachments, volumes
from volumed.model.records import Json, Operation
from volumed.model.states import AttachStatus, OperationState
from volumed.operations import notifications
from volumed.operations.attached import settle as settle_attached
from volumed.operations.locks import Claims
from volumed.operations.procedure import OneWay, PoolChange
from volumed.volume.backend import Backend
from volumed.volume.exports import lock_of, settle
from volumed.volume.work import AttachmentWork, read_attachment


@dataclass(frozen=True)
class Revoke(OneWay):
    """Leave only the other attachments' initiators in: this one's status is no longer one that lets in."""

    backend: Backend
    name: str = "revoke"

    def do(self, work: AttachmentWork) -> None:
        settle(self.backend, work.volume, without=work.attachment.id, force=bool(work.operation.args.get("force")))


class Detach:
    """See the module."""

    kind = "attachment.detach"
    no_return: str | None = "revoke"
    elsewhere = None

    def __init__(self, backend: Backend, unsettle: Callable[[], None]) -> None:
        """``unsettle`` asks for the exports to be compared with the rows soon."""
        self._backend = backend
        self._unsettle = unsettle
        self.steps = (Revoke(backend),)

    def prepare(self, operation: Operation) -> AttachmentWork:
        return read_attachment(self._backend, operation)

    def locks(self, work: AttachmentWork) -> Claims:
        return Claims(exclusive=[lock_of(work.volume.id)])

    def succeed(self, tx: Connection, work: AttachmentWork) -> None:
        volumes.touch(tx, work.volume.id)
        attachments.remove(tx, work.attachment.id)
        status = settle_attached(tx, work.volume.id)
        notifications.of_volume(tx, work.operation, work.volume, "detach.end", status, attachment_id=work.attachment.id)

    def fail(self, tx: Connection, work: AttachmentWork, error: Json) -> PoolChange | None:
        volumes.touch(tx, work.volume.id)
        attachments.move(tx, work.attachment.id, AttachStatus.DETACHING, AttachStatus.ERROR_DETACHING, error=error)
        status = settle_attached(tx, work.volume.id)
        notifications.of_volume(
            tx, work.operation, work.volume, "detach.error", status, attachment_id=work.attachment.id, error=error
        )
        return None

    def ended(self, work: AttachmentWork, state: str) -> None:
        """One that was given up may have taken its access away, which its row still wants."""
        if state == OperationState.FAILED:
            self._unsettle()

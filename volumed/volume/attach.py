"""``attachment.attach``: a volume made reachable for one connector.

The credentials were stored with the request, before the first step; they are read from the row and never copied.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from volumed.db import attachments, operations, volumes
from volumed.model.credentials import without_credentials
from volumed.model.records import Json, Operation
from volumed.model.states import AttachStatus, OperationState
from volumed.operations import notifications
from volumed.operations.attached import settle as settle_attached
from volumed.operations.locks import Claims, WaitsFor
from volumed.operations.procedure import PoolChange
from volumed.volume.backend import Backend, access_of, volume_ref
from volumed.volume.exports import lock_of, settle
from volumed.volume.work import AttachmentWork, read_attachment


@dataclass(frozen=True)
class Export:
    """Let the attachment's initiator in, beside those who are in already."""

    backend: Backend
    name: str = "export"

    def do(self, work: AttachmentWork) -> None:
        self._let_earlier_copies_end(work)
        settle(self.backend, work.volume)
        told = self.backend.driver.connection_info(volume_ref(work.volume), access_of(work.attachment))
        work.connection_info = without_credentials(told)

    def undo(self, work: AttachmentWork) -> None:
        settle(self.backend, work.volume, without=work.attachment.id)

    def _let_earlier_copies_end(self, work: AttachmentWork) -> None:
        """A copy byte by byte that was accepted before this attach must not find somebody writing."""
        if self.backend.copies_in_one_instant:
            return
        with self.backend.database.reading() as tx:
            readers = operations.holders_of(tx, work.volume.id, limit=100)
        for reader in readers:
            if reader.kind != "snapshot.delete" and reader.created_at <= work.operation.created_at:
                raise WaitsFor(
                    kind=reader.kind, operation_id=reader.id, resource_type="volume", resource_id=work.volume.id
                )


class Attach:
    """See the module. The volume's data is locked too, so that nobody writes to what is just being copied."""

    kind = "attachment.attach"
    no_return: str | None = None
    elsewhere = None

    def __init__(self, backend: Backend, unsettle: Callable[[], None]) -> None:
        """``unsettle`` asks for the exports to be compared with the rows soon."""
        self._backend = backend
        self._unsettle = unsettle
        self.steps = (Export(backend),)

    def prepare(self, operation: Operation) -> AttachmentWork:
        return read_attachment(self._backend, operation)

    def locks(self, work: AttachmentWork) -> Claims:
        return Claims(exclusive=[work.volume.id, lock_of(work.volume.id)])

    def succeed(self, tx: Connection, work: AttachmentWork) -> None:
        volumes.touch(tx, work.volume.id)
        attachments.change(tx, work.attachment.id, connection_info=work.connection_info, error=None)
        notifications.of_volume(
            tx, work.operation, work.volume, "attach.end", work.volume.status, attachment_id=work.attachment.id
        )

    def fail(self, tx: Connection, work: AttachmentWork, error: Json) -> PoolChange | None:
        """With its credentials it needs a detach yet: it was connected before, and that one may be in still."""
        volumes.touch(tx, work.volume.id)
        known = {} if work.operation.args.get("reconnects") else {"credentials": None}
        attachments.move(
            tx,
            work.attachment.id,
            AttachStatus.ATTACHING,
            AttachStatus.ERROR_ATTACHING,
            error=error,
            connection_info=None,
            **known,
        )
        status = settle_attached(tx, work.volume.id)
        notifications.of_volume(
            tx, work.operation, work.volume, "attach.error", status, attachment_id=work.attachment.id, error=error
        )
        return None

    def ended(self, work: AttachmentWork, state: str) -> None:
        """A failed one may have left its access behind, where the undo could not end in time either."""
        if state == OperationState.FAILED:
            self._unsettle()

"""The classic way to attach, by RPC: initialize and terminate a connection, mark attached and detached.

Each call becomes rows and an operation as the API would have made them; a call waits for the operation's end.
"""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from volumed.db import attachments, operations, volumes
from volumed.db.clock import now
from volumed.db.engine import Database
from volumed.db.operations import NewOperation
from volumed.model.context import RequestContext
from volumed.model.credentials import credentials_for, is_same_connector, with_credentials
from volumed.model.errors import InvalidField, ServiceUnavailable
from volumed.model.records import Attachment, Json
from volumed.model.requests import judge
from volumed.model.states import AttachStatus, OperationState, VolumeStatus
from volumed.operations.attached import settle as settle_attached
from volumed.operations.ends import EndPoller


class Connections:
    """``wake(operation_id)`` runs an operation; ``patience`` bounds a call (seconds)."""

    def __init__(
        self, database: Database, queue: str, ends: EndPoller, wake: Callable[[str], None], patience: float
    ) -> None:
        self._database = database
        self._queue = queue
        self._ends = ends
        self._wake = wake
        self._patience = patience

    def initialize(self, context: RequestContext, volume_id: str, connector: object) -> Json:
        """Let the connector in; what it needs to log in, with the secret. The same connector again gets the same."""
        known = _checked(connector)
        attachment_id, operation_id = self._database.write(
            self._begin_attach, context, volume_id, known, str(uuid.uuid4()), str(uuid.uuid4())
        )
        if operation_id is not None:
            self._finish(operation_id)
        with self._database.reading() as tx:
            return connection_of(attachments.get(tx, attachment_id))

    def terminate(self, context: RequestContext, volume_id: str, connector: object, force: bool = False) -> None:
        """Take the connector's access away; one that never came is fine. None stands for all of them.

        ``force`` cuts its session.
        """
        known = None if connector is None else _checked(connector)
        with self._database.reading() as tx:
            found = [
                row.id
                for row in attachments.of_volume(tx, volumes.get(tx, volume_id).id)
                if row.connector and (known is None or is_same_connector(row.connector, known))
            ]
        for attachment_id in found:
            operation_id = self._database.write(self._begin_detach, context, attachment_id, str(uuid.uuid4()), force)
            self._finish(operation_id)

    def mark_attached(self, context: RequestContext, volume_id: str, instance_uuid: str, mountpoint: str) -> None:
        """The instance uses the volume now: the connection made before becomes its attachment."""
        self._database.write(self._mark_attached, context, volume_id, instance_uuid, mountpoint, str(uuid.uuid4()))

    def mark_detached(self, context: RequestContext, volume_id: str) -> None:
        """Nobody uses the volume any more: what access is left is taken away."""
        self.terminate(context, volume_id, None)
        self._database.write(self._forget_attachments, volume_id)

    def _finish(self, operation_id: str) -> None:
        self._wake(operation_id)
        end = self._ends.wait(operation_id, self._patience)
        if end is None:
            raise ServiceUnavailable(reason=f"operation {operation_id} has not ended yet; ask again to join it")
        state, error = end
        if state != OperationState.SUCCEEDED:
            raise ServiceUnavailable(reason=(error or {}).get("message", f"operation {operation_id} {state}"))

    def _begin_attach(
        self, tx: Connection, context: RequestContext, volume_id: str, connector: Json, new_id: str, operation_id: str
    ) -> tuple[str, str | None]:
        volumes.touch(tx, volume_id)
        volume = volumes.get(tx, volume_id)
        found = attachments.of_volume(tx, volume_id)
        for row in found:
            if not row.connector or not is_same_connector(row.connector, connector):
                continue
            if row.attach_status == AttachStatus.ERROR_ATTACHING and row.credentials is None:
                attachments.remove(tx, row.id)
            elif row.attach_status not in {AttachStatus.ERROR_ATTACHING, AttachStatus.DETACHING}:
                live = operations.live_on(tx, row.id)
                return row.id, None if live is None else live.id
        operations.refuse_if_on_it(tx, "volume", volume_id)
        judge("volume", volume_id, "attach_again" if volume.multiattach else "attach", volume.status)
        if volume.status in (VolumeStatus.AVAILABLE, VolumeStatus.RESERVED):
            volumes.move(tx, volume_id, VolumeStatus(volume.status), VolumeStatus.ATTACHING)
        attachments.add(
            tx,
            id=new_id,
            project_id=volume.project_id,
            user_id=context.user_id,
            volume_id=volume_id,
            attach_status=AttachStatus.ATTACHING.value,
            attach_mode="rw",
            connector=connector,
            credentials=credentials_for(found, new_id, connector),
        )
        operations.add(tx, self._new(context, operation_id, "attachment.attach", attachments.get(tx, new_id)))
        return new_id, operation_id

    def _begin_detach(
        self, tx: Connection, context: RequestContext, attachment_id: str, operation_id: str, force: bool
    ) -> str:
        row = attachments.get(tx, attachment_id)
        volumes.touch(tx, row.volume_id)
        live = operations.live_on(tx, attachment_id)
        if live is not None and live.kind == "attachment.detach":
            if force:
                operations.force(tx, live)
            return live.id
        operations.refuse_if_held(tx, "attachment", attachment_id)
        attachments.move(tx, attachment_id, AttachStatus(row.attach_status), AttachStatus.DETACHING)
        settle_attached(tx, row.volume_id)
        new = self._new(context, operation_id, "attachment.detach", row)
        operations.add(tx, replace(new, args={"force": True}) if force else new)
        return operation_id

    def _mark_attached(
        self,
        tx: Connection,
        context: RequestContext,
        volume_id: str,
        instance_uuid: str,
        mountpoint: str,
        new_id: str,
    ) -> None:
        volumes.touch(tx, volume_id)
        volume = volumes.get(tx, volume_id)
        rows = attachments.of_volume(tx, volume_id)
        if any(row.instance_uuid == instance_uuid and row.attach_status == AttachStatus.ATTACHED for row in rows):
            return
        values: dict[str, Any] = {"instance_uuid": instance_uuid, "mountpoint": mountpoint, "attached_at": now()}
        waiting = [row for row in rows if row.attach_status == AttachStatus.ATTACHING]
        if waiting:
            attachments.move(tx, waiting[0].id, AttachStatus.ATTACHING, AttachStatus.ATTACHED, **values)
        else:
            judge("volume", volume_id, "attach_again" if volume.multiattach else "attach", volume.status)
            attachments.add(
                tx,
                id=new_id,
                project_id=volume.project_id,
                user_id=context.user_id,
                volume_id=volume_id,
                attach_status=AttachStatus.ATTACHED.value,
                attach_mode="rw",
                **values,
            )
        settle_attached(tx, volume_id)

    def _forget_attachments(self, tx: Connection, volume_id: str) -> None:
        volumes.touch(tx, volume_id)
        for row in attachments.of_volume(tx, volume_id):
            if row.connector is None:
                attachments.remove(tx, row.id)
        settle_attached(tx, volume_id)

    def _new(self, context: RequestContext, operation_id: str, kind: str, attachment: Attachment) -> NewOperation:
        """An operation of the attachment's project, whoever asked: its owner may see what becomes of it."""
        return NewOperation(
            id=operation_id,
            kind=kind,
            resource_type="attachment",
            resource_id=attachment.id,
            volume_id=attachment.volume_id,
            project_id=attachment.project_id,
            user_id=context.user_id,
            request_id=context.request_id,
            queue=self._queue,
        )


def connection_of(attachment: Attachment) -> Json:
    """What the connector needs, with the attachment's secret filled in."""
    return with_credentials(attachment.connection_info or {"data": {}}, attachment.credentials)


def _checked(connector: object) -> Json:
    if not isinstance(connector, dict):
        raise InvalidField(field="connector", reason="it is not a mapping")
    initiator = connector.get("initiator")
    if initiator is not None and (not isinstance(initiator, str) or len(initiator) > 223):
        raise InvalidField(field="connector.initiator", reason="it is not an IQN of at most 223 characters (RFC 7143)")
    return dict(connector)

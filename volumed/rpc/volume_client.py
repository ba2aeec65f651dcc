"""The volume managers as the other services see them: one method for each of theirs.

A cast is a wake-up call: the operation's row is the truth, so a cast that cannot be sent is logged and forgotten.
"""

from typing import Any

from volumed.model.context import RequestContext
from volumed.model.host import backend_of
from volumed.model.records import Json
from volumed.rpc.messenger import Messenger

TOPIC = "volumed-volume"
VERSION = "1.4"


class VolumeClient:
    """Speaks to the volume manager on a ``host`` (``host@backend``, a ``#pool`` behind it is dropped)."""

    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger

    def create_volume(
        self,
        context: RequestContext,
        host: str,
        volume_id: str,
        operation_id: str,
        snapshot_id: str | None = None,
        source_volid: str | None = None,
    ) -> None:
        self._cast(
            context,
            host,
            "create_volume",
            volume_id=volume_id,
            operation_id=operation_id,
            snapshot_id=snapshot_id,
            source_volid=source_volid,
        )

    def delete_volume(self, context: RequestContext, host: str, volume_id: str, operation_id: str) -> None:
        self._cast(context, host, "delete_volume", volume_id=volume_id, operation_id=operation_id)

    def extend_volume(
        self, context: RequestContext, host: str, volume_id: str, new_size: int, operation_id: str
    ) -> None:
        self._cast(context, host, "extend_volume", volume_id=volume_id, new_size=new_size, operation_id=operation_id)

    def create_snapshot(
        self, context: RequestContext, host: str, volume_id: str, snapshot_id: str, operation_id: str
    ) -> None:
        self._cast(
            context, host, "create_snapshot", volume_id=volume_id, snapshot_id=snapshot_id, operation_id=operation_id
        )

    def delete_snapshot(self, context: RequestContext, host: str, snapshot_id: str, operation_id: str) -> None:
        self._cast(context, host, "delete_snapshot", snapshot_id=snapshot_id, operation_id=operation_id)

    def attach(self, context: RequestContext, host: str, volume_id: str, operation_id: str) -> None:
        """Wake an attachment's ``attachment.attach``; its end is read from the row."""
        self._cast(
            context, host, "initialize_connection", volume_id=volume_id, connector=None, operation_id=operation_id
        )

    def detach(self, context: RequestContext, host: str, volume_id: str, operation_id: str) -> None:
        """Wake an attachment's ``attachment.detach``; its end is read from the row."""
        self._cast(
            context, host, "terminate_connection", volume_id=volume_id, connector=None, operation_id=operation_id
        )

    def publish_service_capabilities(self, context: RequestContext) -> None:
        """Ask every backend to report its capabilities now."""
        self._messenger.cast(context, TOPIC, "publish_service_capabilities", {}, version="1.0", fanout=True)

    def diagnose(self, context: RequestContext, host: str) -> list[Json]:
        """What differs on the backend. Raises ``ServiceUnavailable`` when it cannot be looked at."""
        found: list[Json] = self._messenger.call(context, TOPIC, "diagnose", {}, version="1.5", server=backend_of(host))
        return found

    def repair(self, context: RequestContext, host: str, operation_id: str) -> None:
        """Wake a ``doctor.repair``; its end is read from the row."""
        arguments = {"operation_id": operation_id}
        self._messenger.cast(context, TOPIC, "repair", arguments, version="1.5", server=backend_of(host))

    def wake_operation(self, context: RequestContext, host: str, operation_id: str, is_long: bool = False) -> None:
        """Wake an operation of whatever kind; ``is_long``: it copies."""
        arguments = {"operation_id": operation_id, "is_long": is_long}
        self._messenger.cast(context, TOPIC, "wake_operation", arguments, version="1.6", server=backend_of(host))

    def cancel_operation(self, context: RequestContext, host: str, operation_id: str) -> None:
        """Tell that the operation's row asks for its cancellation."""
        arguments = {"operation_id": operation_id}
        self._messenger.cast(context, TOPIC, "cancel_operation", arguments, version="1.6", server=backend_of(host))

    def service_version(self, context: RequestContext, host: str) -> Any:
        return self._messenger.call(context, TOPIC, "service_version", {}, version="1.4", server=backend_of(host))

    def service_config(self, context: RequestContext, host: str) -> Any:
        return self._messenger.call(context, TOPIC, "service_config", {}, version="1.4", server=backend_of(host))

    def _cast(self, context: RequestContext, host: str, method: str, **arguments: Any) -> None:
        self._messenger.cast(context, TOPIC, method, arguments, version=VERSION, server=backend_of(host))

"""The volume managers as the other services see them: one method for each of theirs.

A cast is a wake-up call: the operation's row is the truth, so a cast that cannot be sent is logged and forgotten.
"""

from typing import Any

from volumed.model.context import RequestContext
from volumed.model.host import backend_of
from volumed.model.records import Json
from volumed.rpc.messenger import Messenger

TOPIC = "volumed-volume"

#: Each method with the version that introduced it: what it is sent with, and what a manager must have to be sent it.
VERSIONS = {
    "create_volume": "1.4",
    "delete_volume": "1.4",
    "extend_volume": "1.4",
    "create_snapshot": "1.4",
    "delete_snapshot": "1.4",
    "initialize_connection": "1.4",
    "terminate_connection": "1.4",
    "publish_service_capabilities": "1.0",
    "service_version": "1.4",
    "service_config": "1.4",
    "diagnose": "1.5",
    "repair": "1.5",
    "wake_operation": "1.6",
    "cancel_operation": "1.6",
    "can_manage": "1.7",
    "list_manageable": "1.7",
    "measure_manageable": "1.7",
}


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
        version = VERSIONS["publish_service_capabilities"]
        self._messenger.cast(context, TOPIC, "publish_service_capabilities", {}, version=version, fanout=True)

    def diagnose(self, context: RequestContext, host: str) -> list[Json]:
        """What differs on the backend. Raises ``ServiceUnavailable`` when it cannot be looked at."""
        found: list[Json] = self._call(context, host, "diagnose")
        return found

    def repair(self, context: RequestContext, host: str, operation_id: str) -> None:
        """Wake a ``doctor.repair``; its end is read from the row."""
        self._cast(context, host, "repair", operation_id=operation_id)

    def wake_operation(self, context: RequestContext, host: str, operation_id: str, is_long: bool = False) -> None:
        """Wake an operation of whatever kind; ``is_long``: it copies."""
        self._cast(context, host, "wake_operation", operation_id=operation_id, is_long=is_long)

    def cancel_operation(self, context: RequestContext, host: str, operation_id: str) -> None:
        """Tell that the operation's row asks for its cancellation."""
        self._cast(context, host, "cancel_operation", operation_id=operation_id)

    def can_manage(self, context: RequestContext, host: str) -> bool:
        """Whether its driver manages and unmanages. Bounded in time; raises ``ServiceUnavailable``."""
        return bool(self._call(context, host, "can_manage"))

    def list_manageable(self, context: RequestContext, host: str, resource_type: str, **page: Any) -> list[Json]:
        """A page of what others made there; ``page``: ``sort``, ``marker``, ``offset``, ``limit``. Bounded in time.

        Raises ``Invalid`` where the driver cannot or the page is no page, ``ServiceUnavailable``.
        """
        found: list[Json] = self._call(context, host, "list_manageable", resource_type=resource_type, **page)
        return found

    def measure_manageable(
        self, context: RequestContext, host: str, resource_type: str, reference: Json, pool: str | None
    ) -> Json:
        """Size and place of what others made; raises as ``list_manageable``, and ``Invalid`` where it is unfit."""
        arguments = {"resource_type": resource_type, "reference": reference, "pool": pool}
        found: Json = self._call(context, host, "measure_manageable", **arguments)
        return found

    def service_version(self, context: RequestContext, host: str) -> Any:
        return self._call(context, host, "service_version")

    def service_config(self, context: RequestContext, host: str) -> Any:
        return self._call(context, host, "service_config")

    def _cast(self, context: RequestContext, host: str, method: str, **arguments: Any) -> None:
        self._messenger.cast(context, TOPIC, method, arguments, version=VERSIONS[method], server=backend_of(host))

    def _call(self, context: RequestContext, host: str, method: str, **arguments: Any) -> Any:
        return self._messenger.call(
            context, TOPIC, method, arguments, version=VERSIONS[method], server=backend_of(host)
        )

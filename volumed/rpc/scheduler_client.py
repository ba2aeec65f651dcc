"""The schedulers as the other services see them."""

from typing import Any

from volumed.model.context import RequestContext
from volumed.rpc.messenger import Messenger

TOPIC = "volumed-scheduler"

#: Each method with the version that introduced it: what it is sent with, and what a scheduler must have to be sent it.
VERSIONS = {"create_volume": "1.4", "update_service_capabilities": "1.0", "get_pools": "1.4"}


class SchedulerClient:
    """Speaks to the schedulers; any one of them takes a cast."""

    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger

    def create_volume(self, context: RequestContext, volume_id: str, operation_id: str) -> None:
        """Wake the placement of the volume's operation."""
        arguments = {"volume_id": volume_id, "operation_id": operation_id}
        self._messenger.cast(context, TOPIC, "create_volume", arguments, version=VERSIONS["create_volume"])

    def update_service_capabilities(
        self, context: RequestContext, service_name: str, host: str, capabilities: dict[str, Any]
    ) -> None:
        """Tell all schedulers what a backend can do now."""
        arguments = {"service_name": service_name, "host": host, "capabilities": capabilities}
        version = VERSIONS["update_service_capabilities"]
        self._messenger.cast(context, TOPIC, "update_service_capabilities", arguments, version=version, fanout=True)

    def get_pools(self, context: RequestContext, filters: dict[str, Any] | None = None) -> Any:
        """What a scheduler knows of every pool. Raises ``ServiceUnavailable`` when none answers in time."""
        return self._messenger.call(context, TOPIC, "get_pools", {"filters": filters}, version=VERSIONS["get_pools"])

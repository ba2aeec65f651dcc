"""What is asked of operations of every kind by RPC: an endpoint of its own, newer than the manager's."""

from typing import ClassVar

from volumed.model.context import RequestContext
from volumed.operations.lanes import LONG, SHORT
from volumed.volume.worker import BackendWorker


class OperationEndpoint:
    """Wakes and cancels the operations of ``worker``; what they are is in their rows."""

    RPC_VERSION: ClassVar[str] = "1.6"
    RPC_METHODS: ClassVar[tuple[str, ...]] = ("wake_operation", "cancel_operation")

    def __init__(self, worker: BackendWorker) -> None:
        self._worker = worker

    def wake_operation(self, context: RequestContext, operation_id: str, is_long: bool = False) -> None:
        """Run the operation if there is something to run; ``is_long``: among the copies."""
        self._worker.wake(operation_id, LONG if is_long else SHORT)

    def cancel_operation(self, context: RequestContext, operation_id: str) -> None:
        """Have the operation undone at once; its row says that this was asked."""
        self._worker.cancel(operation_id)

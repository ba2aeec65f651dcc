"""What the doctor asks of a backend by RPC: an endpoint of its own, newer than the manager's other methods."""

from typing import ClassVar

from volumed.model.context import RequestContext
from volumed.model.errors import ServiceUnavailable
from volumed.model.records import Json
from volumed.volume.worker import BackendWorker


class DiagnosisEndpoint:
    """Looks at the backend of ``worker``, and wakes repairs."""

    RPC_VERSION: ClassVar[str] = "1.5"
    RPC_METHODS: ClassVar[tuple[str, ...]] = ("diagnose", "repair")

    def __init__(self, worker: BackendWorker) -> None:
        self._worker = worker

    def diagnose(self, context: RequestContext) -> list[Json]:
        """Compare the backend with the rows, and say what differs. Raises ``ServiceUnavailable`` while it is not up."""
        state, reason = self._worker.state()
        if state != "up":
            raise ServiceUnavailable(reason=f"{self._worker.host} is {state}" + (f": {reason}" if reason else ""))
        return [finding.as_record() for finding in self._worker.examiner.look()]

    def repair(self, context: RequestContext, operation_id: str) -> None:
        """Wake the repair of a finding."""
        self._worker.wake(operation_id)

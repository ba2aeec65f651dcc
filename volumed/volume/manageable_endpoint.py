"""What is asked by RPC about things that others made on the backend: an endpoint of its own, newer than the others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from volumed.driver.interface import Manages
from volumed.model.context import RequestContext
from volumed.model.errors import BackendError, BackendInvalid, BackendNotFound, Invalid, ServiceUnavailable
from volumed.model.host import place
from volumed.model.records import Json
from volumed.volume import manageable
from volumed.volume.worker import BackendWorker


class ManageableEndpoint:
    """Asks the driver of ``worker``; changes nothing."""

    RPC_VERSION: ClassVar[str] = "1.7"
    RPC_METHODS: ClassVar[tuple[str, ...]] = ("can_manage", "list_manageable", "measure_manageable")

    def __init__(self, worker: BackendWorker) -> None:
        self._worker = worker

    def can_manage(self, context: RequestContext) -> bool:
        """Whether the driver can manage and unmanage at all."""
        return isinstance(self._worker.driver, Manages)

    def list_manageable(
        self,
        context: RequestContext,
        resource_type: str,
        sort: Sequence[str] = (),
        marker: str | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[Json]:
        """One page of what could be a ``resource_type``; see ``manageable.Page``."""
        wanted = manageable.Page.checked(sort, marker, offset, limit)
        with self._asked() as driver:
            found = manageable.listed(driver, resource_type)
        return wanted.of(found)

    def measure_manageable(
        self, context: RequestContext, resource_type: str, reference: Json, pool: str | None = None
    ) -> Json:
        """Its ``size`` in GiB, and the ``host`` (with the pool) and ``storage_id`` where it is."""
        manageable.check_reference(reference)
        with self._asked() as driver:
            size = manageable.size_of(driver, resource_type, reference)
            pools = self._worker.driver.capabilities().pools
        found = next((each for each in pools if pool in {None, each.name}), None)
        if found is None:
            raise Invalid(reason=f"Invalid input received: {self._worker.host} has no pool {pool}.")
        return {"size": size, "host": place(self._worker.host, found.name), "storage_id": found.storage_id}

    @contextmanager
    def _asked(self) -> Iterator[Manages]:
        """The driver. What it refuses is the asker's mistake (``Invalid``), else it is away."""
        state, reason = self._worker.state()
        if state != "up":
            raise ServiceUnavailable(reason=f"{self._worker.host} is {state}" + (f": {reason}" if reason else ""))
        try:
            yield manageable.able(self._worker.driver, self._worker.host)
        except (BackendInvalid, BackendNotFound) as error:
            raise Invalid(reason=f"Invalid input received: {error}") from error
        except BackendError as error:
            raise ServiceUnavailable(reason=str(error)) from error

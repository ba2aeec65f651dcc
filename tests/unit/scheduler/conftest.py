"""A deployment on a real database, with schedulers but without backends: the test speaks for these."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import update

from tests.lab import databases
from volumed import conf
from volumed.db import operations, services, tables, volume_types, volumes
from volumed.db.clock import SECOND, now
from volumed.db.engine import Database
from volumed.model.context import RequestContext
from volumed.model.records import Operation, Volume
from volumed.rpc.volume_client import VolumeClient
from volumed.scheduler.manager import SchedulerManager

CONTEXT = RequestContext(user_id="ann", project_id="demo", is_admin=False, request_id="req-1")


@pytest.fixture(params=databases.KINDS_IN_BRIEF)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Its statements are those of ``volumed.db``, which are tried on each kind."""
    return str(request.param)


class Wire:
    """Where messages go: it keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str | None, dict[str, Any]]] = []

    def cast(self, context: Any, topic: str, method: str, arguments: Any, **options: Any) -> bool:
        self.sent.append((method, options.get("server"), arguments))
        return True

    def named(self, method: str) -> list[tuple[str | None, dict[str, Any]]]:
        return [(server, arguments) for name, server, arguments in self.sent if name == method]


class Cloud:
    """A database, volume services as rows, their reports, and creates as the API writes them."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.database.write(volume_types.add, "type-1", "standard", is_public=True, extra_specs={})
        self.wire = Wire()
        self.managers: list[SchedulerManager] = []
        self._sequence = 0

    def close(self) -> None:
        for manager in self.managers:
            manager.stop(5)
        self.database.close()

    def scheduler(self, **options: Any) -> SchedulerManager:
        """A started scheduler; ``options`` are those of ``[operations]`` and ``[scheduler]``, by name."""
        loaded = conf.load()
        loaded.set_override("sweep_interval", 0.2, "operations")
        loaded.set_override("sweep_age", 0.0, "operations")
        for name, value in options.items():
            group = next((each for each in ("operations", "scheduler") if name in loaded[each]), None)
            loaded.set_override(name, value, group)
        manager = SchedulerManager(loaded, self.database, VolumeClient(self.wire), "node0")  # type: ignore[arg-type]
        manager.init_host()
        manager.listening()
        self.managers.append(manager)
        return manager

    def service(self, host: str, state: str = "up", age: float = 0, disabled: bool = False) -> None:
        """The row of a volume service that was heard of ``age`` seconds ago."""
        arguments = (str(uuid.uuid4()), "volumed-volume", host, "volumed-volume", "nova", f"inc-{host}", "1.4")
        self.database.write(services.register, *arguments)
        changed = update(tables.services).where(tables.services.c.host == host)
        values = {"state": state, "disabled": disabled, "updated_at": now() - int(age * SECOND)}
        self.database.write(lambda tx: tx.execute(changed.values(values)) and None)

    def capabilities(self, host: str, pools: list[dict[str, Any]] | None = None, **changed: Any) -> dict[str, Any]:
        """A well-formed report of ``host``; ``pools`` are the differences of each from a thick one of 100 GiB."""
        self._sequence += 1
        return {
            "service_name": host.partition("@")[2],
            "host": host,
            "incarnation": f"inc-{host}",
            "sequence": self._sequence,
            "availability_zone": "nova",
            "driver": "file",
            "storage_protocol": "iSCSI",
            "vendor_name": "volumed",
            "driver_version": "1.0",
            "online_extend_support": False,
            "multiattach": False,
            "snapshot_attached_support": True,
            "pools": [
                {
                    "name": "main",
                    "storage_id": f"storage-{host}",
                    "total_gib": 100.0,
                    "free_gib": 100.0,
                    "foreign_gib": 0.0,
                    "reserved_percentage": 0,
                    "max_over_subscription_ratio": 20.0,
                    "thin_provisioning": False,
                    "volume_backend_name": host.partition("@")[2],
                    "features": {},
                }
                | pool
                for pool in pools or [{}]
            ],
        } | changed

    def report(self, host: str, *managers: SchedulerManager, **pool: Any) -> None:
        """``host`` reports one pool to the schedulers."""
        message = self.capabilities(host, [pool])
        for manager in managers or self.managers:
            manager.update_service_capabilities(CONTEXT, host.partition("@")[2], host, message)

    def create(self, size: int = 1, with_operation: bool = True, **arguments: Any) -> tuple[str, str]:
        """Volume and operation as the API's transaction leaves them; no message is sent."""
        volume_id, operation_id = arguments.pop("volume_id", str(uuid.uuid4())), str(uuid.uuid4())
        tried, attempt = arguments.pop("tried", []), arguments.pop("attempt", 0)

        def accept(tx: Any) -> None:
            self._add_volume(tx, volume_id, size)
            if not with_operation:
                return
            operations.add(
                tx,
                operations.NewOperation(
                    id=operation_id,
                    kind="volume.create",
                    resource_type="volume",
                    resource_id=volume_id,
                    volume_id=volume_id,
                    project_id="demo",
                    user_id="ann",
                    request_id="req-1",
                    queue="scheduler",
                    args={"size": size} | arguments,
                ),
            )
            changed = update(tables.operations).where(tables.operations.c.id == operation_id)
            tx.execute(changed.values(tried=tried, attempt=attempt))

        self.database.write(accept)
        return volume_id, operation_id

    def left_behind(self, volume_id: str, queue: str, storage_id: str, values: dict[str, Any]) -> None:
        """A cleanup of the volume; ``values`` of its row."""
        cleanup = operations.NewOperation(
            id=str(uuid.uuid4()),
            kind="cleanup",
            resource_type="leftover",
            resource_id=str(uuid.uuid4()),
            volume_id=volume_id,
            project_id="demo",
            user_id="ann",
            request_id="req-1",
            queue=queue,
            args={"host": f"{queue}#main", "storage_id": storage_id, "size": 1},
        )
        self.database.write(operations.add, cleanup)
        changed = update(tables.operations).where(tables.operations.c.id == cleanup.id)
        self.database.write(lambda tx: tx.execute(changed.values(values)) and None)

    def _add_volume(self, tx: Any, volume_id: str, size: int) -> None:
        volumes.add(
            tx,
            id=volume_id,
            project_id="demo",
            user_id="ann",
            size=size,
            status="creating",
            availability_zone="nova",
            volume_type_id="type-1",
            bootable=False,
            multiattach=False,
            metadata={},
            facts={},
        )

    def operation(self, operation_id: str) -> Operation:
        with self.database.reading() as tx:
            return operations.get(tx, operation_id)

    def volume(self, volume_id: str) -> Volume:
        with self.database.reading() as tx:
            return volumes.get(tx, volume_id)

    def until(self, condition: Callable[[], bool], timeout: float = 10) -> None:
        """Wait for ``condition``; fail after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, "it did not come true in time"
            time.sleep(0.01)

    def until_settled(self, *operation_ids: str) -> list[Operation]:
        """The operations, when none of them is the scheduler's any more."""

        def settled() -> bool:
            found = [self.operation(each) for each in operation_ids]
            return all(each.queue != "scheduler" or each.state == "failed" for each in found)

        self.until(settled)
        return [self.operation(each) for each in operation_ids]


@pytest.fixture
def new_cloud(new_database_url: Callable[[], str]) -> Callable[[], Cloud]:
    """Make a deployment of its own; close it with ``contextlib.closing``."""
    return lambda: Cloud(new_database_url())


@pytest.fixture
def cloud(new_cloud: Callable[[], Cloud]) -> Iterator[Cloud]:
    with closing(new_cloud()) as made:
        yield made

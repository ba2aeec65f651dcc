"""A backend with a real file driver, a target for tests, and rows; and the examiners of both."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from tests.lab import databases
from tests.lab.sealed import seal_in
from volumed.conf import backend as backend_options
from volumed.db import attachments, deployment, operations, pools, quotas, snapshots, volume_types, volumes
from volumed.db.engine import Database
from volumed.db.operations import NewOperation
from volumed.doctor.examiners import BackendExaminer, RowExaminer
from volumed.driver.interface import Owner, VolumeRef
from volumed.driver.registry import Setup
from volumed.model import quota_use
from volumed.model.findings import FINDING, REPAIR, Finding
from volumed.model.records import Operation
from volumed.operations.engine import Engine, Rules
from volumed.operations.locks import NodeLocks
from volumed_drivers.file.driver import FileDriver

HOST = "node@disk"
HOUR = 3600 * 1_000_000


@pytest.fixture(params=databases.KINDS_IN_BRIEF)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Its statements are those of ``volumed.db``, which are tried on each kind."""
    return str(request.param)


@dataclass
class Ward:
    """The backend ``node@disk`` and all that is known of it."""

    database: Database
    driver: FileDriver
    locks: NodeLocks
    state: Path
    backend: BackendExaminer
    rows: RowExaminer

    @property
    def pool(self) -> Path:
        return self.state / "pool"

    def kinds(self) -> list[str]:
        """The kinds of all findings."""
        return sorted(finding.kind for finding in self.found())

    def found(self) -> list[Finding]:
        return [*self.rows.look(), *self.backend.look()]

    def volume(self, status: str = "available", made: bool = True, **values: Any) -> str:
        """A volume of 1 GiB with its quota and allocation, and its data where it is ``made``."""
        volume_id = str(uuid.uuid4())
        self.database.write(self._add_volume, volume_id, status, values)
        if made:
            self.driver.create(VolumeRef(volume_id, 1, "pool"))
        return volume_id

    def _add_volume(self, tx: Any, volume_id: str, status: str, values: dict[str, Any]) -> None:
        row = {
            "id": volume_id,
            "project_id": "p",
            "user_id": "u",
            "size": 1,
            "status": status,
            "availability_zone": "nova",
            "volume_type_id": volume_types.get(tx, "plain").id,
            "host": f"{HOST}#pool",
            "storage_id": "storage",
            "bootable": False,
            "multiattach": False,
            "metadata": {},
            "facts": {},
        }
        quotas.adjust(tx, "p", quota_use.of_volume(1, "plain"))
        volumes.add(tx, **row | values)
        pools.adjust(tx, "storage", 1, 1)

    def snapshot(self, volume_id: str, status: str = "available") -> str:
        snapshot_id = str(uuid.uuid4())
        self.database.write(self._add_snapshot, snapshot_id, volume_id, status)
        (self.pool / f"snapshot-{snapshot_id}").touch()
        self._grow(self.pool / f"snapshot-{snapshot_id}")
        return snapshot_id

    def _grow(self, path: Path) -> None:
        with path.open("r+b") as data:
            data.truncate(1 << 30)

    def _add_snapshot(self, tx: Any, snapshot_id: str, volume_id: str, status: str) -> None:
        quotas.adjust(tx, "p", quota_use.of_snapshot(1, "plain", True))
        values = {"project_id": "p", "user_id": "u", "size": 1, "metadata": {}, "facts": {}}
        type_id = volume_types.get(tx, "plain").id
        snapshots.add(tx, id=snapshot_id, volume_id=volume_id, status=status, volume_type_id=type_id, **values)

    def attachment(self, volume_id: str, status: str = "attached") -> str:
        attachment_id = str(uuid.uuid4())
        self.database.write(
            attachments.add,
            id=attachment_id,
            project_id="p",
            user_id="u",
            volume_id=volume_id,
            attach_status=status,
            attach_mode="rw",
            connector={"initiator": "iqn.2024-01.org.example:client"},
            credentials={"username": f"user-{attachment_id[:8]}", "password": "0123456789ab"},
        )
        return attachment_id

    def operation(self, kind: str, resource_id: str, volume_id: str | None = None, **more: Any) -> str:
        """A queued operation."""
        operation_id = str(uuid.uuid4())
        known = {"resource_type": kind.partition(".")[0], "queue": HOST} | more
        new = NewOperation(
            id=operation_id,
            kind=kind,
            resource_id=resource_id,
            volume_id=volume_id or resource_id,
            project_id="p",
            user_id="u",
            request_id="req-1",
            **known,
        )
        self.database.write(operations.add, new)
        return operation_id

    def forget(self, volume_id: str) -> None:
        """The volume's row goes with its quota and allocation, as at the end of a delete."""

        def remove(tx: Any) -> None:
            if volumes.remove(tx, volume_id):
                quotas.adjust(tx, "p", quota_use.negative(quota_use.of_volume(1, "plain")))
                pools.adjust(tx, "storage", -1, -1)

        self.database.write(remove)

    def sql(self, statement: str, **values: Any) -> None:
        self.database.write(lambda tx: tx.execute(text(statement), values))

    def value(self, statement: str, **values: Any) -> Any:
        with self.database.reading() as tx:
            return tx.execute(text(statement), values).scalar()

    def repair(self, finding: Finding) -> Operation:
        """Carry the repair out as the backend's manager does; the operation after it."""
        record = {"finding": finding.as_record()}
        volume_id = finding.volume_id or finding.id
        return self.run(self.operation(REPAIR, str(uuid.uuid4()), volume_id, resource_type=FINDING, args=record))

    def run(self, operation_id: str) -> Operation:
        """Let the engine take the operation once; the operation after it."""
        Engine(
            self.database,
            self.locks,
            queue=HOST,
            worker="worker",
            procedures=[self.backend.repairs],
            rules=Rules(1, 0.01, 1, 0.1, 1),
            wake_after=lambda *ignored: None,
            place_again=lambda *ignored: None,
        ).run(operation_id)
        with self.database.reading() as tx:
            return operations.get(tx, operation_id)

    def repair_all(self) -> None:
        """Repair every finding; each must succeed."""
        for finding in self.found():
            if finding.repair is not None:
                assert self.repair(finding).state == "succeeded", finding


@pytest.fixture
def driver_class() -> type[FileDriver]:
    """The driver of the backend."""
    return FileDriver


@pytest.fixture
def options() -> dict[str, Any]:
    """What the backend's group says beside the defaults."""
    return {"target_helper": "fake"}


@pytest.fixture
def ward(tmp_path: Path, database_url: str, driver_class: type[FileDriver], options: dict[str, Any]) -> Iterator[Ward]:
    database = Database(database_url, seal=seal_in(tmp_path))
    database.write(deployment.ensure, "deployment")
    database.write(volume_types.ensure_default, "plain")
    database.write(pools.ensure, "storage")
    defaults = {option.dest: option.default for option in (*backend_options.OPTIONS, *FileDriver.OPTIONS)}
    told = SimpleNamespace(**(defaults | options))
    driver = driver_class(Setup("disk", "node", Owner("deployment", "disk"), told, tmp_path))
    driver.do_setup()
    locks = NodeLocks(tmp_path / "locks")
    rows = RowExaminer(database, count_snapshot_gigabytes=True, idempotency_retention=86400)
    backend = BackendExaminer(HOST, driver, database, locks, False, rows)
    yield Ward(database, driver, locks, tmp_path, backend, rows)
    driver.close()
    database.close()

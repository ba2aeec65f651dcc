"""A volume manager spoken to by RPC alone, as another API tier on the same database would: no operation is given.

Nobody schedules; broker, database and driver are real.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.sealed import seal_in
from volumed import conf as configuration
from volumed.db import migrate, snapshots, volume_types, volumes
from volumed.db.engine import Database
from volumed.doctor.examiners import BackendExaminer, RowExaminer
from volumed.launch.assembly import service_lock
from volumed.launch.service import Identity, Service
from volumed.model.context import RequestContext
from volumed.rpc import volume_client
from volumed.rpc.messenger import Messenger
from volumed.rpc.scheduler_client import SchedulerClient
from volumed.rpc.transport import IN_PROCESS_URL, close, make_transport, register_options
from volumed.volume.manager import VolumeManager

CONNECTOR = {"initiator": "iqn.1993-08.org.debian:01:rpc", "host": "client"}
CALLER = RequestContext("u", "p", False, "req-rpc")


@dataclass
class Rig:
    """A volume service on a broker, and what speaks to it."""

    database: Database
    messenger: Messenger
    pool: Path
    host: str

    def call(self, method: str, **arguments: Any) -> Any:
        return self.messenger.call(CALLER, volume_client.TOPIC, method, arguments, version="1.4", server=self.host)

    def read(self, get: Callable[..., Any], *arguments: Any) -> Any:
        with self.database.reading() as tx:
            return get(tx, *arguments)

    def until(self, condition: Callable[[], Any], patience: float = 60.0) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.01)

    def volume(self, status: str = "creating", size: int = 1, **values: Any) -> str:
        """A volume's row as a foreign API tier writes it."""
        volume_id = str(uuid.uuid4())
        type_id = self.read(volume_types.get, "__DEFAULT__").id
        self.database.write(
            volumes.add,
            id=volume_id,
            project_id="p",
            user_id="u",
            size=size,
            status=status,
            availability_zone="nova",
            volume_type_id=type_id,
            bootable=False,
            multiattach=False,
            metadata={},
            facts={},
            **values,
        )
        return volume_id

    def finished_volume(self) -> str:
        volume_id = self.volume()
        self.call("create_volume", volume_id=volume_id)
        self.until(lambda: self.read(volumes.get, volume_id).status == "available")
        return volume_id

    def snapshot_row(self, volume_id: str) -> str:
        snapshot_id = str(uuid.uuid4())
        volume = self.read(volumes.get, volume_id)
        self.database.write(
            snapshots.add,
            id=snapshot_id,
            project_id="p",
            user_id="u",
            volume_id=volume_id,
            size=volume.size,
            status="creating",
            volume_type_id=volume.volume_type_id,
            metadata={},
            facts={},
        )
        return snapshot_id


@contextmanager
def bare_rig(folder: Path, url: str = IN_PROCESS_URL, sweep_interval: float = 0.2) -> Iterator[Rig]:
    """The rig with its state in ``folder`` and its broker at ``url``; stopped at the end.

    ``sweep_interval``: seconds between two looks of the manager at its queue.
    """
    database = Database(f"sqlite:///{folder}/volumed.db", seal=seal_in(folder))
    migrate.upgrade(database)
    database.write(volume_types.ensure_default, "__DEFAULT__")
    conf = configuration.load(
        defaults={
            ("DEFAULT", "enabled_backends"): ["disk"],
            ("DEFAULT", "host"): f"node-{uuid.uuid4().hex[:6]}",
            ("disk", "target_helper"): "fake",
            ("operations", "sweep_interval"): sweep_interval,
            ("operations", "sweep_age"): 0.1,
        }
    )
    register_options(conf)
    conf.set_default("transport_url", url)
    transport, client = make_transport(conf), make_transport(conf)
    messenger = Messenger(client, "volumed", 60)
    incarnation = str(uuid.uuid4())
    rows = RowExaminer(database, count_snapshot_gigabytes=True, idempotency_retention=86400)
    manager = VolumeManager(
        conf,
        "disk",
        database,
        SchedulerClient(messenger),
        folder,
        incarnation,
        partial(BackendExaminer, rows=rows),
        pytest.fail,
    )
    identity = Identity("volumed-volume", volume_client.TOPIC, manager.host, "nova", incarnation)
    service = Service(
        conf, database, identity, manager, transport, service_lock(folder, identity.binary, identity.host)
    )
    service.start()
    service.wait_until_started()
    rig = Rig(database, messenger, folder / "pool", manager.host)
    rig.until(lambda: manager.state()[0] == "up")
    try:
        yield rig
    finally:
        service.stop()
        service.wait()
        close(client)
        database.close()

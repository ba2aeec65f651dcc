"""Puts the services of one process together: what each is made of, whether it shares its process or not.

Knows every room; decides nothing. Only configuration tells one process with everything from services on many nodes.
"""

import uuid
from functools import partial
from pathlib import Path
from typing import Any

from oslo_config import cfg

from volumed.api import cors, proxy
from volumed.api.app import make_app
from volumed.api.tier import ApiParts
from volumed.api.traced import Traced
from volumed.db.engine import Database
from volumed.doctor.examiners import BackendExaminer, RowExaminer
from volumed.launch import keys
from volumed.launch.service import Identity, Manager, Service
from volumed.operations.ends import EndPoller
from volumed.operations.feed import Feed
from volumed.operations.housekeeping import Housekeeping
from volumed.operations.locks import SERVICE_PREFIX, ServiceLock
from volumed.operations.periodic import PeriodicTask, PeriodicTasks
from volumed.operations.publisher import Publisher
from volumed.rpc import scheduler_client, volume_client
from volumed.rpc.messenger import Messenger
from volumed.rpc.notifier import Notifier
from volumed.rpc.pins import REFRESH_INTERVAL, Pins
from volumed.rpc.scheduler_client import SchedulerClient
from volumed.rpc.transport import close, make_notification_transport, make_transport
from volumed.rpc.volume_client import VolumeClient
from volumed.scheduler.manager import SchedulerManager
from volumed.volume.manager import VolumeManager
from volumed.volume.worker import Restart


class Assembly:
    """The database, and what is made on it. ``state`` is this node's folder, ``own_key`` the file of keys in it."""

    def __init__(self, conf: cfg.ConfigOpts, state: Path, own_key: Path) -> None:
        self._conf = conf
        self._state = state
        self._incarnation = str(uuid.uuid4())
        self.database = open_database(conf, own_key)
        self._rows = row_examiner(conf, self.database)
        self._pins = Pins(self.database, conf.service_down_time)

    def scheduler(self) -> Service:
        """A scheduler."""
        transport = make_transport(self._conf)
        client = VolumeClient(self._messenger(transport))
        manager = SchedulerManager(self._conf, self.database, client, self._conf.host)
        return self._service("volumed-scheduler", scheduler_client.TOPIC, self._conf.host, manager, transport)

    def volume(self, backend: str, restart: Restart) -> Service:
        """The volume service of ``backend``; ``restart`` ends a process in which a call never returns."""
        transport = make_transport(self._conf)
        manager = VolumeManager(
            self._conf,
            backend,
            self.database,
            SchedulerClient(self._messenger(transport)),
            self._state,
            self._incarnation,
            partial(BackendExaminer, rows=self._rows),
            restart,
        )
        return self._service("volumed-volume", volume_client.TOPIC, manager.host, manager, transport)

    def api(self) -> "Api":
        """The API tier."""
        return Api(self._conf, self.database, self._rows, self._pins)

    def keeping(self) -> "Keeping":
        """What one of all processes does for everybody."""
        return Keeping(self._conf, self.database, self._incarnation)

    def close(self) -> None:
        """Close the database; everything made from here has stopped."""
        self.database.close()

    def _service(self, binary: str, topic: str, host: str, manager: Manager, transport: Any) -> Service:
        zone = self._conf.storage_availability_zone
        identity = Identity(binary, topic, host, zone, self._incarnation)
        lock = service_lock(self._state, binary, host)
        return Service(self._conf, self.database, identity, manager, transport, lock, self._pins)

    def _messenger(self, transport: Any) -> Messenger:
        return messenger(self._conf, transport, self._pins)


class Api:
    """The WSGI application with what it needs beside the database."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, rows: RowExaminer, pins: Pins) -> None:
        self._transport = make_transport(conf)
        self._pins = pins
        refresh = PeriodicTask("version pins", pins.refresh, REFRESH_INTERVAL)
        self._tasks = PeriodicTasks("api", [refresh], conf.periodic_interval, REFRESH_INTERVAL)
        self._ends = EndPoller(database)
        self._feed = Feed(database)
        sender = messenger(conf, self._transport, pins)
        self._parts = ApiParts(
            conf=conf,
            database=database,
            scheduler=SchedulerClient(sender),
            volume=VolumeClient(sender),
            ends=self._ends,
            rows=rows,
            feed=self._feed,
        )

    def application(self) -> Any:
        """The application; makes what the database has to have for it."""
        conf = self._parts.conf
        application = Traced(proxy.before(cors.before(make_app(self._parts), conf), conf))
        self._pins.refresh()
        self._tasks.start()
        return application

    def reset(self) -> None:
        """Nothing of the API's configuration changes while it answers; the services' versions may have."""
        self._pins.refresh()

    def end_streams(self) -> None:
        """End the answers that have no end, before the server waits for those that have."""
        self._feed.stop()

    def stop(self) -> None:
        """Let go of everything; nothing is answered any more."""
        self._tasks.stop()
        self._feed.stop()
        self._ends.stop()
        close(self._transport)


class Keeping:
    """Publishes events and forgets what was kept long enough; of all that run, the database elects one for each."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, holder: str) -> None:
        self._transport = make_notification_transport(conf)
        self._publisher = Publisher(database, Notifier(conf, self._transport).send, holder=holder)
        kept = conf.operations
        keeping = Housekeeping(database, holder, kept.operation_retention, kept.idempotency_retention)
        self._tasks = PeriodicTasks("housekeeping", [keeping.task()], conf.periodic_interval, fuzzy_delay=0)

    def start(self) -> None:
        self._publisher.start()
        self._tasks.start()

    def stop(self) -> None:
        self._tasks.stop()
        self._publisher.stop()
        close(self._transport)


def service_lock(state: Path, binary: str, host: str) -> ServiceLock:
    """What makes a process the only one of its service on this node."""
    return ServiceLock(state / "locks" / f"{SERVICE_PREFIX}{host}.lock", f"{binary} {host}")


def messenger(conf: cfg.ConfigOpts, transport: Any, pins: Pins) -> Messenger:
    """The sending side of ``transport``."""
    return Messenger(transport, conf.rpc.control_exchange, conf.rpc.response_timeout, pins)


def open_database(conf: cfg.ConfigOpts, own_key: Path) -> Database:
    """The database that the configuration names, with the seal of its secrets."""
    return Database(
        conf.database.connection,
        pool_size=conf.database.max_pool_size,
        retries=conf.database.max_retries,
        seal=keys.seal_from(conf, own_key),
    )


def row_examiner(conf: cfg.ConfigOpts, database: Database, serving: bool = True) -> RowExaminer:
    """What compares rows with rows, as this configuration counts."""
    return RowExaminer(
        database, not conf.quota.no_snapshot_gb_quota, conf.operations.idempotency_retention, serving=serving
    )

"""All services in one process: what ``volumed up`` runs.

Puts the rooms together and nothing else. Only configuration tells this from services on many nodes.
"""

import ipaddress
import logging
import os
import socket
import uuid
from dataclasses import replace
from functools import partial
from typing import Any

from oslo_config import cfg
from oslo_service import service

from volumed import conf as configuration
from volumed.api.app import make_app
from volumed.api.tier import ApiParts
from volumed.conf import verify
from volumed.db import migrate, volume_types
from volumed.db.engine import Database
from volumed.doctor.examiners import BackendExaminer, RowExaminer
from volumed.driver.registry import driver_options
from volumed.launch import keys, logs, successor
from volumed.launch.http import HttpService
from volumed.launch.service import Identity, Manager, Service
from volumed.launch.signals import EndingSignals
from volumed.launch.state_folder import StateFolder
from volumed.launch.wishes import Wishes
from volumed.model.errors import ConfigurationError
from volumed.operations.ends import EndPoller
from volumed.operations.feed import Feed
from volumed.operations.housekeeping import Housekeeping
from volumed.operations.periodic import PeriodicTask, PeriodicTasks
from volumed.operations.publisher import Publisher
from volumed.rpc import scheduler_client, volume_client
from volumed.rpc.messenger import Messenger
from volumed.rpc.notifier import Notifier
from volumed.rpc.pins import REFRESH_INTERVAL, Pins
from volumed.rpc.scheduler_client import SchedulerClient
from volumed.rpc.transport import (
    IN_PROCESS_URL,
    close,
    known_options,
    make_notification_transport,
    make_transport,
    register_options,
)
from volumed.rpc.volume_client import VolumeClient
from volumed.scheduler.manager import SchedulerManager
from volumed.volume.manager import VolumeManager

LOG = logging.getLogger(__name__)


def run(wishes: Wishes) -> int:
    """Serve until a signal ends it; returns the exit status. Raises what keeps it from starting."""
    os.umask(0o077)  # what is written below the state folder (secrets among it) is its owner's alone
    folder = StateFolder(wishes.state)
    folder.take()
    try:
        conf = configure(wishes, folder)
        logs.detail(conf.debug)
        _refuse_open_door(conf, wishes)
        with _Process(conf, folder, wishes) as process:
            process.start()
            return process.wait_for_signal()
    finally:
        folder.release()


class _Process:
    """Everything that lives as long as the process."""

    def __init__(self, conf: cfg.ConfigOpts, folder: StateFolder, wishes: Wishes) -> None:
        self._conf = conf
        self._wishes = wishes
        self._folder = folder
        self._database = open_database(conf, folder)
        self._ends = EndPoller(self._database)
        self._feed = Feed(self._database)
        self._launcher = service.Launcher(conf)
        self._http = HttpService(wishes.listen, conf.api.workers, conf.graceful_shutdown_timeout)
        self._transport = make_transport(conf)
        self._events = make_notification_transport(conf)
        self._incarnation = str(uuid.uuid4())
        self._publisher = Publisher(self._database, Notifier(conf, self._events).send, holder=self._incarnation)
        self._pins = Pins(self._database, conf.service_down_time)
        self._housekeeping = self._make_housekeeping()
        self._rows = row_examiner(conf, self._database)
        self._signals = EndingSignals()

    def __enter__(self) -> "_Process":
        self._signals.listen()
        return self

    def __exit__(self, *error: object) -> None:
        self._feed.stop()
        self._http.stop()
        self._ends.stop()
        self._housekeeping.stop()
        self._publisher.stop()
        self._launcher.stop()
        self._launcher.wait()
        close(self._events)
        close(self._transport)
        self._database.close()

    def start(self) -> None:
        """Have the schema, start every service, and say where we serve."""
        migrate.upgrade(self._database)
        keys.unlock(self._database)
        self._database.write(volume_types.ensure_default, self._conf.api.default_volume_type)
        self._pins.refresh()
        services = [self._scheduler(), *map(self._volume, self._conf.enabled_backends)]
        for each in services:
            self._launcher.launch_service(each)
        for each in services:
            each.wait_until_started()
        self._publisher.start()
        self._housekeeping.start()
        self._http.serve(self._app())
        self._launcher.launch_service(self._http)
        self._say_where()

    def wait_for_signal(self) -> int:
        """0 after the first signal; the second one ends the process where it stands."""
        self._signals.wait()
        LOG.info("stopping; what does not end in time is resumed by the next start")
        return 0

    def _make_housekeeping(self) -> PeriodicTasks:
        kept = self._conf.operations
        keeping = Housekeeping(self._database, self._incarnation, kept.operation_retention, kept.idempotency_retention)
        pins = PeriodicTask("version pins", self._pins.refresh, REFRESH_INTERVAL)
        return PeriodicTasks(
            "housekeeping", [keeping.task(), pins], self._conf.periodic_interval, self._conf.periodic_fuzzy_delay
        )

    def _scheduler(self) -> Service:
        transport = make_transport(self._conf)
        manager = SchedulerManager(
            self._conf, self._database, VolumeClient(self._messenger(transport)), self._conf.host
        )
        return self._service("volumed-scheduler", scheduler_client.TOPIC, self._conf.host, manager, transport)

    def _volume(self, backend: str) -> Service:
        transport = make_transport(self._conf)
        manager = VolumeManager(
            self._conf,
            backend,
            self._database,
            SchedulerClient(self._messenger(transport)),
            self._folder.path,
            self._incarnation,
            partial(BackendExaminer, rows=self._rows),
            self._start_again,
        )
        return self._service("volumed-volume", volume_client.TOPIC, manager.host, manager, transport)

    def _service(self, binary: str, topic: str, host: str, manager: Manager, transport: Any) -> Service:
        zone = self._conf.storage_availability_zone
        return Service(
            self._conf, self._database, Identity(binary, topic, host, zone, self._incarnation), manager, transport
        )

    def _messenger(self, transport: Any) -> Messenger:
        return Messenger(transport, self._conf.rpc.control_exchange, self._conf.rpc.response_timeout, self._pins)

    def _start_again(self, reason: str) -> None:
        """A call inside this process never returns: only another life of the process is free of it."""
        successor.become(replace(self._wishes, listen=self._http.address))

    def _app(self) -> Any:
        messenger = self._messenger(self._transport)
        return make_app(
            ApiParts(
                conf=self._conf,
                database=self._database,
                scheduler=SchedulerClient(messenger),
                volume=VolumeClient(messenger),
                ends=self._ends,
                rows=self._rows,
                feed=self._feed,
            )
        )

    def _say_where(self) -> None:
        url = f"http://{self._http.address}"
        self._folder.tell(url)
        print(
            f"volumed serves {url} (state {self._folder.path}); "
            f"try: VOLUMED_URL={url} VOLUMED_TOKEN=admin:admin volumed list",
            flush=True,
        )


def open_database(conf: cfg.ConfigOpts, folder: StateFolder) -> Database:
    """The database that the configuration names, with the seal of its secrets."""
    return Database(
        conf.database.connection,
        pool_size=conf.database.max_pool_size,
        retries=conf.database.max_retries,
        seal=keys.seal_from(conf, folder.secrets_key),
    )


def row_examiner(conf: cfg.ConfigOpts, database: Database, serving: bool = True) -> RowExaminer:
    """What compares rows with rows, as this configuration counts."""
    return RowExaminer(
        database, not conf.quota.no_snapshot_gb_quota, conf.operations.idempotency_retention, serving=serving
    )


def configure(wishes: Wishes, folder: StateFolder) -> cfg.ConfigOpts:
    """The configuration of this folder. Raises ``ConfigurationError`` for what is wrong or unknown in a file."""
    files = [*([folder.configuration] if folder.configuration.exists() else []), *wishes.config_files]
    for path in files:
        verify.read(path)
    conf = configuration.load(files, _defaults(wishes, folder))
    register_options(conf)
    conf.set_default("transport_url", IN_PROCESS_URL)
    known = {group: list(options) for group, options in configuration.list_opts()} | {}
    for name in conf.enabled_backends:
        known[name] = [*known["backend"], *driver_options(conf[name].volume_driver)]
    for group, options in known_options():
        known[group] = [*known.get(group, ()), *options]
    for path in files:
        verify.refuse_unknown(path, known)
    verify.refuse_wrong_values(conf, [group for group in known if group != "backend"])
    return conf


def _defaults(wishes: Wishes, folder: StateFolder) -> dict[tuple[str, str], Any]:
    return {
        ("DEFAULT", "state_path"): str(folder.path),
        ("DEFAULT", "host"): folder.host(),
        ("DEFAULT", "enabled_backends"): ["file"],
        ("DEFAULT", "periodic_fuzzy_delay"): 5,
        ("DEFAULT", "debug"): wishes.debug,
        ("database", "connection"): folder.database_url,
        ("database", "secrets_key_file"): str(folder.secrets_key),
        ("file", "volume_driver"): "file",
        ("file", "target_helper"): "tgt",
        ("file", "target_port"): 0,
    }


def _refuse_open_door(conf: cfg.ConfigOpts, wishes: Wishes) -> None:
    if conf.api.auth_strategy != "noauth" or wishes.remote_noauth or _is_loopback(wishes.listen.host):
        return
    raise ConfigurationError(
        option="--listen",
        reason=f"{wishes.listen} can be reached from other machines, and with auth_strategy = noauth whoever reaches it"
        " is an administrator if he says so; --allow-remote-noauth permits it",
    )


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True  # not an address at all: listening says so
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)

"""A service: a manager with its row in ``services``, its RPC server, its reports and its periodic tasks.

Knows the life cycle; knows nothing of what a manager does.
"""

import logging
import os
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from oslo_config import cfg
from oslo_service import service

from volumed.db import services
from volumed.db.engine import Database
from volumed.operations.locks import ServiceLock
from volumed.operations.periodic import PeriodicTask, PeriodicTasks
from volumed.rpc import transport as rpc
from volumed.rpc.dispatcher import Endpoint, RpcDispatcher, highest_version
from volumed.rpc.listener import Listener
from volumed.rpc.pins import REFRESH_INTERVAL, Pins

LOG = logging.getLogger(__name__)

#: Seconds between two looks whether the manager's state has changed, which is then reported at once.
CHANGE_SPACING = 0.5


class Manager(Endpoint, Protocol):
    """What a service is for: an RPC endpoint with a life cycle."""

    def endpoints(self) -> Sequence[Endpoint]:
        """What may be called on this service, itself among it."""

    def init_host(self) -> None:
        """Begin to work, as the only process of this host; never waits for a backend or for old work."""

    def listening(self) -> None:
        """Messages arrive from now on, or again: what was announced before may have been missed and is announced again,
        and the own queue is looked at for what nobody was woken for.
        """

    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """What comes round while the service runs."""

    def state(self) -> tuple[str, str | None]:
        """``up``, ``starting`` or ``down``, with the reason where it is not up."""

    def stop(self, timeout: float) -> Any:
        """Take nothing new and give what runs ``timeout`` seconds to end; the next start resumes the rest."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which service this is. ``incarnation`` differs with each start."""

    binary: str
    topic: str
    host: str
    zone: str
    incarnation: str


class Service(service.ServiceBase):  # type: ignore[misc]
    """Runs ``manager`` as ``identity``; hosted by oslo.service's launcher.

    ``transport`` becomes its own, and ``lock`` is held for life: there is one process of a service. ``pins`` are those
    of what it sends; they are kept up to date here.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        database: Database,
        identity: Identity,
        manager: Manager,
        transport: Any,
        lock: ServiceLock,
        pins: Pins | None = None,
    ) -> None:
        self._conf = conf
        self._database = database
        self._manager = manager
        self._transport = transport
        self._lock = lock
        self._pins = pins
        self._listener = Listener(
            transport,
            conf.rpc.control_exchange,
            identity.topic,
            identity.host,
            RpcDispatcher(manager.endpoints()),
            conf.rpc.workers,
            manager.listening,
        )
        reports = (
            PeriodicTask("report of state", self._report, conf.report_interval),
            PeriodicTask("report of a change", self._report_change, CHANGE_SPACING),
        )
        self._reports = PeriodicTasks(f"report {identity.host}", reports, conf.report_interval, 0)
        self._told: tuple[str, str | None] | None = None
        self._tasks = PeriodicTasks(
            identity.host,
            [*manager.periodic_tasks(), PeriodicTask("version pins", self._refresh_pins, REFRESH_INTERVAL)],
            conf.periodic_interval,
            conf.periodic_fuzzy_delay,
        )
        self._drain = threading.Thread(target=self._stop, name=f"stop {identity.host}")
        self._started = threading.Event()
        self._stopped = threading.Event()
        self.identity = identity
        #: Why the start failed.
        self.failure: Exception | None = None

    def start(self) -> None:
        """Be the only one, be recorded, let the manager begin, take messages, report.

        A failure is kept in ``failure``: ``ServiceLocked`` where another process is this service.
        """
        try:
            self._lock.take(f"process {os.getpid()}, incarnation {self.identity.incarnation}")
            self._database.write(self._register)
            self._refresh_pins()
            self._manager.init_host()
            self._listener.start()
            self._manager.listening()
            self._reports.start()
            self._tasks.start()
            LOG.info("service %s on %s has started", self.identity.binary, self.identity.host)
        except Exception as error:
            LOG.error("service %s on %s cannot start: %s", self.identity.binary, self.identity.host, error)
            self.failure = error
        finally:
            self._started.set()

    def wait_until_started(self) -> None:
        """Wait for the end of ``start`` and raise what it failed with."""
        self._started.wait()
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Begin to stop; several services stop side by side. ``wait`` waits for the end."""
        if not self._drain.ident:
            self._drain.start()

    def wait(self) -> None:
        """Wait until the service has stopped."""
        self._stopped.wait()

    def reset(self) -> None:
        """Nothing of a service's configuration changes while it runs; the others' versions may have."""
        self._refresh_pins()

    def state(self) -> tuple[str, str | None]:
        """The manager's; one that is well and has not been able to listen yet is still ``starting``."""
        state, reason = self._manager.state()
        trouble = self._listener.trouble
        return ("starting", trouble) if trouble and state == "up" else (state, reason)

    def _refresh_pins(self) -> None:
        if self._pins is not None:
            self._pins.refresh()

    def _register(self, tx: Any) -> None:
        identity = self.identity
        services.register(
            tx,
            str(uuid.uuid4()),
            identity.binary,
            identity.host,
            identity.topic,
            identity.zone,
            identity.incarnation,
            highest_version(self._manager.endpoints()),
        )

    def _report(self) -> None:
        self._tell(*self.state())

    def _report_change(self) -> None:
        """A service that has come up, or cannot, says so at once."""
        if self.state() != self._told:
            self._report()

    def _tell(self, state: str, reason: str | None) -> None:
        identity = self.identity
        ours = self._database.write(
            services.report, identity.binary, identity.host, identity.incarnation, state, reason
        )
        self._told = (state, reason)
        if not ours:
            LOG.error("another process has become service %s on %s", identity.binary, identity.host)

    def _stop(self) -> None:
        self._started.wait()
        try:
            for step in (
                self._listener.stop,
                self._tasks.stop,
                self._stop_manager,
                self._reports.stop,
                self._say_down,
            ):
                self._try(step)
            rpc.close(self._transport)
            self._lock.release()
            LOG.info("service %s on %s has stopped", self.identity.binary, self.identity.host)
        finally:
            self._stopped.set()

    def _stop_manager(self) -> None:
        self._manager.stop(self._conf.graceful_shutdown_timeout)

    def _say_down(self) -> None:
        self._tell("down", "stopped")

    def _try(self, step: Any) -> None:
        try:
            step()
        except Exception:
            LOG.exception("a step of stopping %s failed; the next ones follow", self.identity.host)

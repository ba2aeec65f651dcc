"""The services of a fleet, one process each: ``volumed-api``, ``volumed-scheduler``, and a backend's process."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from oslo_config import cfg

from volumed.launch import concurrency, open_door
from volumed.launch.assembly import Assembly, Keeping
from volumed.launch.http import Address, HttpService
from volumed.launch.process import Listener, Process, State
from volumed.launch.service import Service
from volumed.launch.systemd import Manager
from volumed.launch.tls import Tls

LOG = logging.getLogger(__name__)

#: Exit status of a process that ends itself because a call in it never returns (EX_TEMPFAIL of sysexits.h).
STUCK = 75


def run_api(files: Sequence[Path], listen: Address | None) -> int:
    """Answer REST on ``listen``, by default on the configured address, until a signal."""
    return Process("volumed-api", files, partial(_ServedApi, listen=listen), ToSystemd()).run()


def run_scheduler(files: Sequence[Path]) -> int:
    """Place until a signal."""
    return Process("volumed-scheduler", files, _ServedScheduler, ToSystemd()).run()


def run_backend(files: Sequence[Path], backend: str, listener: Listener) -> int:
    """Serve one backend until a signal."""
    return Process("volumed-volume", files, partial(_ServedBackend, backend=backend), listener).run()


class _ServedBackend:
    def __init__(self, conf: cfg.ConfigOpts, assembly: Assembly, backend: str) -> None:
        self._service = assembly.volume(backend, _end_stuck)

    def start(self) -> None:
        self._service.start()
        self._service.wait_until_started()

    def state(self) -> State:
        return self._service.state()

    def reset(self) -> None:
        self._service.reset()

    def stop(self) -> None:
        _stop(self._service)


class _ServedScheduler:
    def __init__(self, conf: cfg.ConfigOpts, assembly: Assembly) -> None:
        self._service = assembly.scheduler()
        self._keeping: Keeping = assembly.keeping()
        self._keeps = False

    def start(self) -> None:
        self._service.start()
        self._service.wait_until_started()
        self._keeping.start()

    def state(self) -> State:
        return self._service.state()

    def reset(self) -> None:
        self._service.reset()

    def stop(self) -> None:
        self._keeping.stop()
        _stop(self._service)


class _ServedApi:
    def __init__(self, conf: cfg.ConfigOpts, assembly: Assembly, listen: Address | None) -> None:
        address = listen or Address.parse(conf.api.listen)
        remedy = "[api] allow_remote_noauth permits it"
        open_door.refuse(conf, address, conf.api.allow_remote_noauth, remedy)
        self._api = assembly.api()
        tls = Tls.configured(conf)
        if tls is not None:
            concurrency.refuse_eventlet(
                "its sockets break TLS of the API's own; let a proxy do that, or run it on threads"
            )
        self._http = HttpService(address, conf.api.workers, conf.graceful_shutdown_timeout, tls)

    def start(self) -> None:
        self._http.serve(self._api.application())
        self._http.start()
        print(f"volumed-api serves {self._http.url}", flush=True)

    def state(self) -> State:
        return "up", None

    def reset(self) -> None:
        self._api.reset()
        self._http.reset()

    def stop(self) -> None:
        self._api.end_streams()
        self._http.stop()
        self._api.stop()


class ToSystemd:
    """Tells the service manager how this one process is."""

    def __init__(self) -> None:
        self._manager = Manager()

    def hear(self, serves: bool, state: State) -> None:
        self._manager.status(describe(state))
        if serves:
            self._manager.ready()
        else:
            self._manager.starting()
        self._manager.alive()

    def hear_reloading(self, is_over: bool) -> None:
        if is_over:
            self._manager.reloaded()
        else:
            self._manager.reloading()

    def hear_stopping(self) -> None:
        self._manager.stopping()
        self._manager.status("stopping")


def describe(state: State) -> str:
    """The state in one line."""
    name, reason = state
    return f"{name}: {reason}" if reason else name


def _stop(service: Service) -> None:
    service.stop()
    service.wait()


def _end_stuck(reason: str) -> Any:
    """Only another process is free of a call that never returns; the launcher starts it."""
    LOG.critical("the process ends itself, to be started again: %s", reason)
    os._exit(STUCK)

"""All services in one process: what ``volumed up`` runs.

Only configuration tells this from services on many nodes.
"""

import logging
import os
from dataclasses import replace

from oslo_config import cfg
from oslo_service import service

from volumed.db import migrate
from volumed.launch import configuration, keys, logs, open_door, successor
from volumed.launch.assembly import Assembly
from volumed.launch.http import HttpService
from volumed.launch.signals import EndingSignals
from volumed.launch.state_folder import StateFolder
from volumed.launch.tls import Tls
from volumed.launch.tracing import traced
from volumed.launch.wishes import Wishes

LOG = logging.getLogger(__name__)


def run(wishes: Wishes) -> int:
    """Serve until a signal ends it; returns the exit status. Raises what keeps it from starting."""
    os.umask(0o077)  # what is written below the state folder (secrets among it) is its owner's alone
    folder = StateFolder(wishes.state)
    folder.take()
    try:
        conf = configuration.of_folder(wishes, folder)
        logs.detail(conf.debug)
        open_door.refuse(conf, wishes.listen, wishes.remote_noauth, remedy="--allow-remote-noauth permits it")
        with traced(conf, "volumed"), _Process(conf, folder, wishes) as process:
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
        self._assembly = Assembly(conf, folder.path, folder.secrets_key)
        self._launcher = service.Launcher(conf)
        tls = Tls.configured(conf)
        self._http = HttpService(wishes.listen, conf.api.workers, conf.graceful_shutdown_timeout, tls)
        self._api = self._assembly.api()
        self._keeping = self._assembly.keeping()
        self._signals = EndingSignals()

    def __enter__(self) -> "_Process":
        self._signals.listen()
        return self

    def __exit__(self, *error: object) -> None:
        self._api.end_streams()
        self._http.stop()
        self._api.stop()
        self._keeping.stop()
        self._launcher.stop()
        self._launcher.wait()
        self._assembly.close()

    def start(self) -> None:
        """Have the schema, start every service, and say where we serve."""
        migrate.upgrade(self._assembly.database)
        keys.unlock(self._assembly.database)
        application = self._api.application()
        volumes = [self._assembly.volume(backend, self._start_again) for backend in self._conf.enabled_backends]
        services = [self._assembly.scheduler(), *volumes]
        for each in services:
            self._launcher.launch_service(each)
        for each in services:
            each.wait_until_started()
        self._keeping.start()
        self._http.serve(application)
        self._launcher.launch_service(self._http)
        self._say_where()

    def wait_for_signal(self) -> int:
        """0 after the first signal; the second one ends the process where it stands."""
        self._signals.wait()
        LOG.info("stopping; what does not end in time is resumed by the next start")
        return 0

    def _start_again(self, reason: str) -> None:
        """A call inside this process never returns: only another life of the process is free of it."""
        successor.become(replace(self._wishes, listen=self._http.address))

    def _say_where(self) -> None:
        url = self._http.url
        self._folder.tell(url)
        print(
            f"volumed serves {url} (state {self._folder.path}); "
            f"try: VOLUMED_URL={url} VOLUMED_TOKEN=admin:admin volumed list",
            flush=True,
        )

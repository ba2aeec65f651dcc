"""The services of a fleet with the face of one daemon: an API, a scheduler and a volume service with its backends.

RabbitMQ and PostgreSQL are the run's; vhost and database are its own. Each service is forked from the process that has
everything imported already (``tests/lab/nursery.py``); the trap is in all of them, and whoever passes it dies.
"""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.lab import databases, nursery, rabbitmq, rows
from tests.lab.daemon import PATIENCE
from tests.lab.nursery import Child, ForkedDaemon
from tests.lab.ports import Port
from volumed.db.key_file import KeyFile

SERVICES = ("scheduler", "volume", "api")

_CONFIGURATION = """\
[DEFAULT]
host = {host}
state_path = {state}
transport_url = {broker}
enabled_backends = file
periodic_fuzzy_delay = 5
restart_pause_max = 0.1
debug = {debug}
[database]
connection = {database}
secrets_key_file = {state}/secrets.key
[file]
volume_driver = file
target_helper = tgt
target_port = 0
"""

_SERVES = re.compile(r"^volumed-api serves (http://\S+)", re.MULTILINE)
_STARTED = {
    "scheduler": re.compile(r"service volumed-scheduler on \S+ has started"),
    "volume": re.compile(r"service volumed-volume on \S+ has started|backend \S+ (ends|has ended): "),
}


@dataclass(frozen=True, slots=True)
class _Service:
    """One beside the first three."""

    binary: str
    arguments: list[str]

    def serves(self, name: str, said: str) -> bool:
        if self.binary == "api":
            return _answers(f"http://{self.arguments[-1]}")
        return re.search(rf"service volumed-{self.binary} on {re.escape(name)}(@\S+)? has started", said) is not None


class FleetDaemon(ForkedDaemon):
    """See the module. ``services`` are the processes by name; a service that died is started again by ``start``."""

    def __init__(
        self,
        folder: Path,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        broker_url: str | None = None,
        database_url: str | None = None,
    ) -> None:
        """``broker_url`` and ``database_url``: a test's own, in place of those on the run's servers."""
        super().__init__(folder, arguments, environment)
        self.services: dict[str, Child] = {}
        #: Who was started and has not been seen to serve, with where in the log its words begin.
        self._awaited: dict[str, int] = {}
        self._parts = ExitStack()
        self.broker = None if broker_url else self._parts.enter_context(rabbitmq.shared().vhost())
        self.broker_url = broker_url or self._own_broker().url
        self.database_url = database_url or self._parts.enter_context(databases.migrated("postgresql"))
        #: Services beside the first three, by name.
        self._more: dict[str, _Service] = {}

    def _own_broker(self) -> rabbitmq.Vhost:
        assert self.broker is not None
        return self.broker

    def add_node(self, host: str, options: str = "") -> None:
        """One more node with a volume service of its own, called by the host's name; started by the next ``start``.

        ``options`` is more of its configuration. Its state is a folder of its own below the first node's.
        """
        self._add("volume", host, options)

    def add_scheduler(self, host: str) -> None:
        """One more scheduler, on another node of this name."""
        self._add("scheduler", host, "")

    def add_api(self, name: str) -> str:
        """One more API process; its URL, which stays."""
        port = Port()
        self._parts.callback(port.release)
        address = f"127.0.0.1:{port.number}"
        self._more[name] = _Service("api", ["--listen", address])
        return f"http://{address}"

    def _add(self, binary: str, host: str, options: str) -> None:
        state = self.state / "nodes" / host
        state.mkdir(parents=True, mode=0o700)
        path = state / "node.conf"
        path.write_text(f"[DEFAULT]\nhost = {host}\nstate_path = {state}\n{options}")
        self._more[host] = _Service(binary, ["--config-file", str(path)])

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """``volumed-manage`` with this fleet's configuration; whatever it says."""
        command = [sys.executable, "-m", "volumed.cmd.manage", *arguments, *self.files()]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    # --- as a daemon ------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return any(child.poll() is None for child in self.services.values())

    @property
    def pid(self) -> int:
        """Of the first backend's process, which does what ``volumed up`` does on a volume."""
        return self.backends()[0].pid

    def _names(self) -> list[str]:
        return [*SERVICES, *self._more]

    def files(self) -> list[str]:
        """The arguments that name its configuration."""
        return ["--config-file", str(self.state / "fleet.conf"), "--config-file", str(self.state / "volumed.conf")]

    def spawn(self, environment: Mapping[str, str] | None = None) -> Any:
        """Start every service that does not run."""
        self._prepare()
        with self.log.open("ab") as log:
            self._start_of_log = log.tell()
        starting = [name for name in self._names() if not self._runs(name)]
        self._awaited |= dict.fromkeys(starting, self._start_of_log)
        for name in starting:
            self.services[name] = self._fork(name, environment or {})
        return self.services[starting[-1]] if starting else None

    def wait_until_serving(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._awaited:
            if dead := [name for name in self._awaited if self.services[name].poll() is not None]:
                raise RuntimeError(f"{dead} ended before it served:\n{self.output()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{[*self._awaited]} do not serve after {PATIENCE:g} s:\n{self.output()}")
            time.sleep(0.02)
            self._awaited = {name: start for name, start in self._awaited.items() if not self._serves(name, start)}

    def kill(self) -> None:
        """SIGKILL for all services at once."""
        family = self._all_processes()
        for child in self.services.values():
            child.kill()
        for child in self.services.values():
            child.wait(PATIENCE)
        psutil.wait_procs(family, timeout=PATIENCE)

    def stop(self) -> int:
        """SIGTERM for all services at once; the first exit status that is not 0."""
        return self.stop_services(*self.services)

    def terminate(self) -> None:
        for child in self.services.values():
            child.send_signal(signal.SIGTERM)

    def wait_for_death(self) -> None:
        """Wait until the trap has killed somebody, and he is reaped."""
        deadline = time.monotonic() + PATIENCE
        while (victim := self.trap.victim) is None or not self._is_reaped(victim):
            assert time.monotonic() < deadline, f"nobody died:\n{self.output()}"
            time.sleep(0.01)

    def _is_reaped(self, pid: int) -> bool:
        own = [child for child in self.services.values() if child.pid == pid]
        return own[0].poll() is not None if own else not psutil.pid_exists(pid)

    def wait_for_death_or_rest(self, rest: float = 1.5) -> None:
        """Wait until the trap has killed somebody; where it does not within ``rest`` seconds, everybody is killed."""
        deadline = time.monotonic() + rest
        while self.trap.victim is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if self.trap.victim is None:
            self.trap.disarm()
            self.kill()
        else:
            self.wait_for_death()

    def remove(self) -> list[str]:
        try:
            return super().remove()
        finally:
            self._parts.close()

    # --- as a fleet -------------------------------------------------------------------------------------------------

    def kill_service(self, name: str) -> None:
        """SIGKILL for one service, with its children."""
        child = self.services[name]
        family = self._family_of(child)
        child.kill()
        child.wait(PATIENCE)
        psutil.wait_procs(family, timeout=PATIENCE)

    def stop_services(self, *names: str) -> int:
        """SIGTERM for these at once; the first exit status that is not 0."""
        running = [self.services[name] for name in names if self.services[name].poll() is None]
        for child in running:
            child.send_signal(signal.SIGTERM)
        statuses = []
        for child in running:
            try:
                statuses.append(child.wait(PATIENCE))
            except TimeoutError:
                self.kill()
                raise RuntimeError(f"a service ignores SIGTERM:\n{self.output()}") from None
        return next((status for status in statuses if status), 0)

    def backends(self) -> list[psutil.Process]:
        """The processes of the backends, children of the volume service."""
        return self.family("volume")

    def family(self, name: str) -> list[psutil.Process]:
        """The processes of the service's children."""
        return self._family_of(self.services[name])

    def fork_again(self, name: str) -> Child:
        """One more process of a service that runs; the caller ends it."""
        return self._fork(name, {})

    # --- how ---------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self.state.mkdir(mode=0o700, exist_ok=True)
        rows.tell(self.state, self.database_url)
        key = KeyFile(self.state / "secrets.key", own=True)
        if not key.exists():
            key.make()
        text = _CONFIGURATION.format(
            host=socket.gethostname(),
            state=self.state,
            broker=self.broker_url,
            database=self.database_url,
            debug="--debug" in self.arguments,
        )
        path = self.state / "fleet.conf"
        path.touch(mode=0o600)
        path.write_text(text)
        (self.state / "volumed.conf").touch(mode=0o600)
        self.watch.begin(self.state)

    def _fork(self, name: str, environment: Mapping[str, str]) -> Child:
        surroundings = {**self.environment, **environment}
        return nursery.fork(
            nursery.serve_service,
            (self._binary_of(name), self._arguments_of(name), surroundings, str(self.log), self.watch.notes, self.trap),
        )

    def _arguments_of(self, name: str) -> list[str]:
        arguments = [argument for argument in self.arguments if argument != "--debug"]
        listen = ["--listen", self.url.removeprefix("http://") or "127.0.0.1:0"] if name == "api" else []
        own = self._more[name].arguments if name in self._more else listen
        return [*self.files(), *arguments, *own]

    def _binary_of(self, name: str) -> str:
        return self._more[name].binary if name in self._more else name

    def _runs(self, name: str) -> bool:
        return name in self.services and self.services[name].poll() is None

    def _serves(self, name: str, start: int) -> bool:
        """Whether the service has said so since the place ``start`` of the log."""
        said = self.output(start)
        if name == "api":
            found = _SERVES.search(said)
            if found is None or not _answers(found[1]):
                return False
            self.url = found[1]
            return True
        if name in self._more:
            return self._more[name].serves(name, said)
        return _STARTED[name].search(said) is not None

    def _all_processes(self) -> list[psutil.Process]:
        return [process for child in self.services.values() for process in self._family_of(child)]

    def _family_of(self, child: Child) -> list[psutil.Process]:
        """The children that are ours and not programs that they run."""
        try:
            return [each for each in psutil.Process(child.pid).children() if each.name() != "tgtd"]
        except psutil.NoSuchProcess:
            return []


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthcheck", timeout=PATIENCE).status_code < 600
    except requests.ConnectionError:
        return False

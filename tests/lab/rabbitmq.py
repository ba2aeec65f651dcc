"""A private RabbitMQ on 127.0.0.1: one that all of a run share, a vhost for each test, and servers of a test's own.

No service of the system is touched, and no file outside a server's own folder. ``tests/lab/keeper`` ends each of them
with the process that it is for, also when that is killed.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import requests

from tests.lab import keeper
from tests.lab.certificates import Authority
from tests.lab.ports import Port
from tests.lab.this_run import started_once

#: Debian's wrapper of the same name insists on a user of its own; this one does not.
SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

#: Seconds that a start may take; a quiet machine of two cores needs 10.
PATIENCE: Final = 180.0

#: Seconds for an answer of the management plugin.
ANSWER: Final = 60.0

#: Erlang's threads sleep when they have nothing to do, and its nodes speak to this machine only.
_ERLANG: Final = "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"

_CONFIGURATION: Final = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
listeners.ssl.1 = 127.0.0.1:{tls}
ssl_options.cacertfile = {authority}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
collect_statistics_interval = 1000
log.console = true
log.console.level = warning
log.file = false
disk_free_limit.absolute = 50MB
"""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a server listens (ports on 127.0.0.1), and the files of a client that speaks TLS to it."""

    amqp: int
    tls: int
    management: int
    authority: str
    certificate: str
    key: str

    @contextmanager
    def vhost(self) -> Iterator["Vhost"]:
        """A vhost of the caller's own; it and all that is in it goes at the end, if the server is there."""
        name = f"v-{uuid.uuid4().hex[:12]}"
        self.ask("PUT", f"vhosts/{name}")
        self.ask("PUT", f"permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
        try:
            yield Vhost(self, name)
        finally:
            try:
                self.ask("DELETE", f"vhosts/{name}")
            except requests.ConnectionError:
                pass  # a server of the test's own, which the test has stopped

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the management plugin (below ``/api/``); its answer, None where it is empty."""
        url = f"http://127.0.0.1:{self.management}/api/{path}"
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, url, json=body, auth=("guest", "guest"), timeout=ANSWER)
        answer.raise_for_status()
        return answer.json() if answer.content else None


@dataclass(frozen=True, slots=True)
class Vhost:
    """One test's own part of a server."""

    access: Access
    name: str

    @property
    def url(self) -> str:
        """For ``transport_url``."""
        return self.url_at(self.access.amqp)

    @property
    def tls_url(self) -> str:
        return self.url_at(self.access.tls)

    def url_at(self, port: int) -> str:
        """The same through another port on this machine, for instance a proxy's."""
        return f"rabbit://guest:guest@127.0.0.1:{port}/{self.name}"

    def queues(self) -> dict[str, dict[str, Any]]:
        """By name, with ``durable``, ``arguments``, ``type``, ``consumers``, ``messages`` (numbers a second old)."""
        return {queue["name"]: queue for queue in self.access.ask("GET", f"queues/{self.name}")}

    def connections(self) -> list[dict[str, Any]]:
        """What is connected to this vhost; known up to a second late."""
        return self.access.ask("GET", f"vhosts/{self.name}/connections")  # type: ignore[no-any-return]

    def close_connections(self) -> None:
        """Have the server close each, as an operator does."""
        for connection in self.connections():
            self.access.ask("DELETE", f"connections/{urllib.parse.quote(connection['name'], safe='')}")

    def bindings(self) -> list[dict[str, Any]]:
        return self.access.ask("GET", f"bindings/{self.name}")  # type: ignore[no-any-return]


class Server:
    """A RabbitMQ with its state in ``folder``, for the process ``watched``: start, stop, kill, start again.

    Its ports stay the same. ``remove``: the folder goes with the process that it is for.
    """

    def __init__(self, folder: Path, watched: int | None = None, remove: bool = False) -> None:
        self._folder = folder
        self._watched = watched or os.getpid()
        self._remove = remove
        self._ports = {name: Port() for name in ("amqp", "tls", "management", "distribution", "epmd")}
        self._keeper: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.access = self._configure()

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.kill()
        for port in self._ports.values():
            port.release()

    @property
    def log(self) -> Path:
        return self._folder / "log"

    def start(self) -> "Server":
        """Start, and wait until it takes requests. Raises ``RuntimeError`` with its log where it does not."""
        epmd = ["epmd", "-address", "127.0.0.1", "-port", str(self._ports["epmd"].number)]
        folder = str(self._folder) if self._remove else ""
        with self.log.open("ab") as log:
            self._keeper = subprocess.Popen(
                keeper.command_for(self._watched, folder, [epmd, [str(SERVER)]]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                cwd=self._folder,
                start_new_session=True,
            )
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """An orderly stop; what is durable and confirmed is there after the next start."""
        self._keep_folder()
        os.kill(self.pid, signal.SIGTERM)
        self._wait_for_keeper()

    def kill(self) -> None:
        """SIGKILL; nothing happens where it does not run."""
        if self._keeper is not None:
            self._keep_folder()
            self._keeper.terminate()
            self._wait_for_keeper()

    def pause(self) -> None:
        """SIGSTOP: connections stay, and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Of the Erlang machine."""
        return int((self._folder / "pid").read_text())

    def _keep_folder(self) -> None:
        """It is needed for the next start."""
        if self._keeper is not None:
            self._keeper.send_signal(signal.SIGUSR1)

    def _wait_for_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.wait(PATIENCE)
            self._keeper = None

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._is_ready():
            if self._keeper is None or self._keeper.poll() is not None:
                raise RuntimeError(f"rabbitmq-server ended:\n{self.log.read_text()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"rabbitmq-server is not ready after {PATIENCE:g} s:\n{self.log.read_text()}")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        """Once both listeners are told by the last of its parts to start."""
        try:
            listeners = self.access.ask("GET", "overview")["listeners"]
        except requests.RequestException:
            return False
        return {"amqp", "amqp/ssl"} <= {listener["protocol"] for listener in listeners}

    def _configure(self) -> Access:
        authority = Authority(self._folder)
        server, client = authority.issue("server"), authority.issue("client")
        ports = {name: self._ports[name].number for name in ("amqp", "tls", "management")}
        (self._folder / "rabbitmq.conf").write_text(
            _CONFIGURATION.format(**ports, authority=authority.file, certificate=server.certificate, key=server.key)
        )
        (self._folder / "plugins").write_text("[rabbitmq_management].\n")
        return Access(**ports, authority=str(authority.file), certificate=str(client.certificate), key=str(client.key))

    def _environment(self) -> dict[str, str]:
        folder, ports = self._folder, self._ports
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(ports["epmd"].number),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_BYTES": "0",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server and is not its parent
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment"),
            "RABBITMQ_NODENAME": f"volumed-{ports['amqp'].number}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(ports["distribution"].number),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
        }


@contextmanager
def server() -> Iterator[Server]:
    """A running server of the caller's own; nothing is left of it."""
    folder = Path(tempfile.mkdtemp(prefix="volumed-rabbitmq-"))
    try:
        with Server(folder, remove=True) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def shared() -> Access:
    """The run's one server: started by the first who asks, for all workers of pytest-xdist, and ended with the run."""
    return Access(**started_once("rabbitmq", _start)[1])


def _start(folder: Path, controller: int) -> dict[str, Any]:
    return asdict(Server(folder, watched=controller, remove=True).start().access)

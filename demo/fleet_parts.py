"""The services of the demo's fleet, each a process by its command, found again by what it prints.

Three volume nodes with two backends each, two schedulers, two API processes; all on this machine, each with a folder
and a host name of its own. Broker and database are given.
"""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet

#: Seconds that a start or a stop may take.
PATIENCE = 60.0

_CONFIGURATION = """\
[DEFAULT]
transport_url = {broker}
state_path = {folder}
report_interval = 1
service_down_time = 5
capability_interval = 2
periodic_fuzzy_delay = 0
restart_pause_max = 2
[database]
connection = {database}
secrets_key_file = {folder}/secrets.key
[quota]
volumes = -1
gigabytes = -1
[operations]
sweep_interval = 1
sweep_age = 0.5
"""

_BACKEND = """\
[{name}]
volume_driver = file
file_pool_path = {pool}
target_helper = tgt
target_port = 0
max_over_subscription_ratio = 1000000
"""

_SERVES = re.compile(r"^volumed-api serves (http://\S+)", re.MULTILINE)
_STARTED = re.compile(r"service volumed-(?:scheduler|volume) on \S+ has started")


class FleetError(Exception):
    """A service did not start or not stop; the text has its last words."""


@dataclass
class Service:
    """One process; ``url`` is an API's, and stays over restarts."""

    name: str
    binary: str
    arguments: list[str]
    log: Path
    #: The module that is run with the service's name.
    program: str
    url: str = ""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _said: int = 0

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start; ``wait`` waits until it serves."""
        listen = ["--listen", self.url.removeprefix("http://") or "127.0.0.1:0"] if self.binary == "api" else []
        self._said = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.program, self.binary, *self.arguments, *listen],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it serves. Raises ``FleetError``."""
        wanted = _SERVES if self.binary == "api" else _STARTED
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.lives:
            if found := wanted.search(self._words()):
                self.url = found[1] if self.binary == "api" else ""
                return
            time.sleep(0.02)
        raise FleetError(f"{self.name} does not serve:\n" + "\n".join(self._words().splitlines()[-20:]))

    def kill(self) -> None:
        """As a crash does it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """In order; one that is dead stays so."""
        if self.lives:
            self._end(signal.SIGTERM)

    def terminate(self) -> None:
        """Ask for an orderly stop without waiting for it."""
        if self.lives:
            assert self._process is not None
            self._process.terminate()

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise FleetError(f"{self.name} does not stop on {number.name}:\n{self._words()[-2000:]}") from None

    def _words(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._said)
            return log.read().decode(errors="replace")


class Fleet:
    """All services in ``folder``: so many ``nodes``, schedulers and API processes, and ``backends`` on each node."""

    def __init__(
        self,
        folder: Path,
        broker: str,
        database: str,
        nodes: int = 3,
        others: int = 2,
        backends: tuple[str, ...] = ("fast", "slow"),
        program: str = "volumed.cmd.service",
    ) -> None:
        self.folder = folder
        self._program = program
        _write(folder / "secrets.key", Fernet.generate_key().decode() + "\n")
        self._common = folder / "volumed.conf"
        _write(self._common, _CONFIGURATION.format(folder=folder, broker=broker, database=database))
        self.volumes = [self._node(f"node-{number + 1}", backends) for number in range(nodes)]
        self.schedulers = [self._single(f"scheduler-{number + 1}", "scheduler") for number in range(others)]
        self.apis = [self._single(f"api-{number + 1}", "api") for number in range(others)]

    @property
    def services(self) -> list[Service]:
        return [*self.apis, *self.schedulers, *self.volumes]

    def start(self) -> None:
        """Have the schema, and start everything. Raises ``FleetError``."""
        said = self.manage("db", "upgrade")
        if said.returncode:
            raise FleetError(said.stderr)
        for each in self.services:
            each.start()
        for each in self.services:
            each.wait()

    def stop(self) -> None:
        """Stop all at once, in order."""
        for each in self.services:
            each.terminate()
        for each in self.services:
            each.stop()

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """``volumed-manage`` as an administrator runs it."""
        command = [sys.executable, "-m", "volumed.cmd.manage", *arguments, "--config-file", str(self._common)]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def _node(self, host: str, backends: tuple[str, ...]) -> Service:
        names = [f"{name}{host[-1]}" for name in backends]
        groups = "".join(_BACKEND.format(name=name, pool=self.folder / host / name) for name in names)
        return self._service(host, "volume", f"enabled_backends = {','.join(names)}\n{groups}")

    def _single(self, host: str, binary: str) -> Service:
        return self._service(host, binary, "")

    def _service(self, host: str, binary: str, more: str) -> Service:
        state = self.folder / host
        state.mkdir(mode=0o700)
        own = state / "own.conf"
        _write(own, f"[DEFAULT]\nhost = {host}\nstate_path = {state}\n{more}")
        arguments = ["--config-file", str(self._common), "--config-file", str(own)]
        return Service(host, binary, arguments, self.folder / f"{host}.log", self._program)


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)

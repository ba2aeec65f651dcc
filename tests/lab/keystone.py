"""A real keystone: from the package index, in an environment of its own that is made once on a machine.

``python -m tests.lab.keystone`` makes the environment and, in it, a database with the schema and an administrator. A
keystone of a test is a copy of that, served on a port of its own; it ends with the process that started it.
"""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.lab import made_once
from tests.lab.keeper import command_for
from tests.lab.ports import Port

#: What is installed; another list makes another environment.
REQUIREMENTS = ("keystone>=30,<31", "cheroot>=11.1,<12")

#: The administrator of every keystone here, in the project of the same name and of the system.
ADMIN, PASSWORD = "admin", "lab-administrator"

#: Seconds that keystone may take to answer first, on a loaded machine, and one request of it.
PATIENCE = 180.0

_CONFIGURATION = """\
[DEFAULT]
use_stderr = true
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/keys
[fernet_receipts]
key_repository = {folder}/keys
[credential]
key_repository = {folder}/keys
[token]
expiration = {expiration}
"""


def missing() -> str | None:
    """How to get it, where it is not there; where everything must be (in CI) it is made when it is wanted."""
    if os.environ.get("CI") == "true" or made_once.is_made(_environment()):
        return None
    return "keystone is missing: python -m tests.lab.keystone installs it from the package index, in about a minute"


def installed() -> Path:
    """The environment, made if it is not there yet; others wait for whoever makes it."""
    environment = _environment()
    made_once.made(environment, _make)
    return environment


@dataclass
class Keystone:
    """``url`` is the API's. ``folder`` has the configuration and the database."""

    url: str
    folder: Path
    environment: Path
    port: int
    _keeper: "subprocess.Popen[bytes] | None" = None

    def start(self, expiration: int = 3600) -> None:
        """Serve; tokens are good for ``expiration`` seconds."""
        _configure(self.folder, expiration)
        # Isolated: beside that file is this one, whose name is that of the package.
        command = [str(self.environment / "bin/python"), "-I", str(Path(__file__).with_name("keystone_host.py"))]
        with (self.folder / "log").open("ab") as log:
            self._keeper = subprocess.Popen(
                command_for(os.getpid(), "", [[*command, str(self.port)]]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "OS_KEYSTONE_CONFIG_DIR": str(self.folder)},
            )
        self._wait(self._keeper)

    def stop(self) -> None:
        """End it; its database stays."""
        if self._keeper is not None:
            self._keeper.terminate()
            self._keeper.wait(PATIENCE)

    def token(self, user: str, password: str, project: str | None) -> str:
        """A token of the user for the project; for the system where ``project`` is None."""
        scope = {"system": {"all": True}} if project is None else {"project": _named(project)}
        who = {"methods": ["password"], "password": {"user": {**_named(user), "password": password}}}
        answer = requests.post(
            f"{self.url}/auth/tokens", json={"auth": {"identity": who, "scope": scope}}, timeout=PATIENCE
        )
        answer.raise_for_status()
        return answer.headers["X-Subject-Token"]

    def expired_token(self, user: str, password: str, project: str) -> str:
        """A token of the user that was good for a moment."""
        port = Port()
        other = Keystone(f"http://127.0.0.1:{port.number}/v3", self.folder, self.environment, port.number)
        try:
            other.start(expiration=1)
            token = other.token(user, password, project)
        finally:
            other.stop()
            port.release()
        deadline = time.monotonic() + PATIENCE
        while self.administrator().knows(token):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        return token

    def administrator(self) -> "Administrator":
        return Administrator(self, self.token(ADMIN, PASSWORD, ADMIN))

    def _wait(self, keeper: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if requests.get(self.url, timeout=PATIENCE).ok:
                    return
            except requests.ConnectionError:
                pass
            if keeper.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"keystone does not serve:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.1)


@dataclass
class Administrator:
    """Makes what a test needs."""

    keystone: Keystone
    token: str

    def make_project(self, name: str) -> str:
        return self._made("projects", "project", {"name": name})

    def make_user(self, name: str, password: str) -> str:
        return self._made("users", "user", {"name": name, "password": password})

    def grant(self, user_id: str, project_id: str, role: str) -> None:
        """Give the user the role, which implies lesser ones, in the project."""
        (found,) = self._asked("GET", f"roles?name={role}").json()["roles"]
        self._asked("PUT", f"projects/{project_id}/users/{user_id}/roles/{found['id']}")

    def revoke(self, token: str) -> None:
        """Have the token count no longer."""
        self._asked("DELETE", "auth/tokens", headers={"X-Subject-Token": token})

    def knows(self, token: str) -> bool:
        """Whether the token counts."""
        told = {"X-Auth-Token": self.token, "X-Subject-Token": token}
        return requests.get(f"{self.keystone.url}/auth/tokens", headers=told, timeout=PATIENCE).ok

    def _made(self, collection: str, name: str, fields: dict[str, Any]) -> str:
        answer = self._asked("POST", collection, json={name: {**fields, "domain_id": "default"}})
        return str(answer.json()[name]["id"])

    def _asked(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> requests.Response:
        told = {"X-Auth-Token": self.token, **(headers or {})}
        answer = requests.request(method, f"{self.keystone.url}/{path}", headers=told, timeout=PATIENCE, **more)
        answer.raise_for_status()
        return answer


@contextmanager
def running() -> Iterator[Keystone]:
    """A keystone of this test's own."""
    environment, port = installed(), Port()
    folder = Path(tempfile.mkdtemp(prefix="volumed-keystone-"))
    keystone = Keystone(f"http://127.0.0.1:{port.number}/v3", folder, environment, port.number)
    # Sees to it that the folder goes, however this process ends.
    keeper = subprocess.Popen(command_for(os.getpid(), str(folder), [["sleep", "infinity"]]))
    try:
        shutil.copytree(environment / "template", folder, dirs_exist_ok=True)
        with sqlite3.connect(folder / "keystone.db") as database:
            database.execute("UPDATE endpoint SET url = ?", [keystone.url])
        database.close()
        keystone.start()
        yield keystone
    finally:
        keystone.stop()
        keeper.terminate()
        keeper.wait(PATIENCE)
        port.release()


def _environment() -> Path:
    made_from = "\n".join([*REQUIREMENTS, sys.version, _CONFIGURATION, PASSWORD])
    return made_once.cache() / f"keystone-30-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"


def _make(environment: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python"), "--disable-pip-version-check"]
    # Most of what is installed is never imported, so it is not compiled beforehand.
    install = [*pip, "install", "-qq", "--no-compile", *REQUIREMENTS]
    subprocess.run(install, check=True, stdin=subprocess.DEVNULL)
    template = environment / "template"
    (template / "keys").mkdir(parents=True, mode=0o700)
    for name in ("0", "1"):
        key = "import cryptography.fernet as f; print(f.Fernet.generate_key().decode())"
        made = subprocess.run([str(environment / "bin/python"), "-c", key], check=True, capture_output=True)
        (template / "keys" / name).write_bytes(made.stdout.strip())
    _configure(template, 3600)
    urls = [f"--bootstrap-{each}-url=http://127.0.0.1:5000/v3" for each in ("public", "internal")]
    for command in (["db_sync"], ["bootstrap", f"--bootstrap-password={PASSWORD}", *urls]):
        manage = [str(environment / "bin/keystone-manage"), "--config-file", str(template / "keystone.conf")]
        subprocess.run([*manage, *command], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def _configure(folder: Path, expiration: int) -> None:
    (folder / "keystone.conf").write_text(_CONFIGURATION.format(folder=folder, expiration=expiration))


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "domain": {"id": "default"}}


if __name__ == "__main__":
    print(installed())

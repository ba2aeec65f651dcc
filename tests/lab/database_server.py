"""A database server for tests: one that a whole test run shares, or one of a test's own, which it may kill.

Each has a keeper (``tests/lab/database_keeper.py``), so that none outlives its users, however these end.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import psutil

from tests.lab.certificates import Authority

#: In a shared server's folder: the file on which each of its users holds a lock.
USERS = "users"

_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a server that speaks TLS: whom clients trust, and its own certificate and key, as PEM."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def of(cls, folder: Path) -> "Tls":
        """Of the server with its data in ``folder``."""
        own = folder / "tls"
        return cls(own / f"{_AUTHORITY}.pem", own / "server.pem", own / "server.key")

    @classmethod
    def make(cls, folder: Path) -> "Tls":
        """Make them."""
        made = cls.of(folder)
        made.key.parent.mkdir()
        Authority(made.key.parent, _AUTHORITY).issue("server")
        return made


_AUTHORITY = "authority"


class Recipe(Protocol):
    """How a kind of server is made, started and asked."""

    name: str
    #: Ends it in order.
    stop_signal: signal.Signals
    #: Ends it as quickly as it can without leaving anything in the kernel.
    quit_signal: signal.Signals

    def prepare(self, folder: Path) -> None:
        """Make an empty data folder in ``folder``."""

    def command(self, folder: Path, port: int, durable: bool) -> list[str]:
        """Serve 127.0.0.1:``port`` in the foreground and die with the parent.

        ``durable``: commits survive a power cut.
        """

    def answers(self, port: int) -> bool:
        """Whether a client is served."""

    def url(self, port: int, database: str) -> str:
        """SQLAlchemy's URL of a database."""

    def create(self, port: int, database: str, template: str | None) -> None:
        """Make a database, empty or as a copy of ``template``."""

    def is_in_use(self, port: int, database: str) -> bool:
        """Whether somebody is connected to the database."""

    def drop(self, port: int, database: str) -> None:
        """Remove a database, also one that is in use."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs on 127.0.0.1."""

    recipe: Recipe
    port: int
    folder: Path

    @property
    def tls(self) -> Tls:
        return Tls.of(self.folder)

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """A database of its own; its URL."""
        name = f"test_{uuid.uuid4().hex}"
        self.recipe.create(self.port, name, template)
        try:
            yield self.recipe.url(self.port, name)
        finally:
            self.recipe.drop(self.port, name)

    @contextmanager
    def once(self, name: str) -> Iterator[bool]:
        """Whether the block is the first of the run with this ``name``; others wait until that has ended."""
        done = self.folder / f"done-{name}"
        with (self.folder / f"lock-{name}").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield not done.exists()
            done.touch()


class PrivateServer:
    """A server of a test's own: it may be stopped, killed and hung, and is where it was when it starts again."""

    def __init__(self, server: Server, keeper: "subprocess.Popen[str]") -> None:
        self.recipe = server.recipe
        self.port = server.port
        self.database = server.database
        self.tls = server.tls
        self._keeper = keeper

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database of it."""
        return self.recipe.url(self.port, database)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._ask("start")

    def stop(self) -> None:
        """Stop it as an administrator does."""
        self._ask("stop")

    def kill(self) -> None:
        """Kill all its processes with SIGKILL."""
        self._ask("kill")

    def freeze(self) -> None:
        """Let it hang with its connections open."""
        self._ask("freeze")

    def thaw(self) -> None:
        """Let it go on."""
        self._ask("thaw")

    def family(self) -> list[psutil.Process]:
        """Its keeper and all processes of the server."""
        keeper = psutil.Process(self._keeper.pid)
        return [keeper, *keeper.children(recursive=True)]

    def _ask(self, what: str) -> None:
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.write(f"{what}\n")
        self._keeper.stdin.flush()
        answer = self._keeper.stdout.readline().strip()
        assert answer == "done", f"{what}: {answer}"


@contextmanager
def private(recipe: Recipe, durable: bool = True) -> Iterator[PrivateServer]:
    """A server of one's own, ended at the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix=f"volumed-{recipe.name}-"))
    keeper, port = _keeper(recipe, folder, ["--durable"] if durable else [], subprocess.PIPE)
    try:
        yield PrivateServer(Server(recipe, port, folder), keeper)
    finally:
        keeper.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def shared(recipe: Recipe) -> Server:
    """The server of this test run, started by the first who asks, ended after the last process that has asked."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    folder = Path(tempfile.gettempdir(), f"volumed-{recipe.name}-of-{run}")
    if recipe.name not in _SHARED:
        _SHARED[recipe.name] = _join(recipe, folder)
    return _SHARED[recipe.name][0]


class Kind:
    """The servers of one kind for who wants one: by ``recipe``, or by ``tls`` where it is to offer TLS."""

    def __init__(self, recipe: Recipe, tls: Recipe) -> None:
        self._recipe = recipe
        self._tls = tls

    def shared(self) -> Server:
        """The server of this test run. Its commits do not survive a power cut: it is fast."""
        return shared(self._recipe)

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """A database of one's own on the run's server, empty or as a copy of ``template``; its URL."""
        with self.shared().database(template) as url:
            yield url

    def server(self, durable: bool = True, tls: bool = False) -> AbstractContextManager[PrivateServer]:
        """A server of one's own."""
        return private(self._tls if tls else self._recipe, durable)


#: What this process shares, with what must stay as long as it does.
_SHARED: dict[str, tuple[Server, Any]] = {}


def _join(recipe: Recipe, folder: Path) -> tuple[Server, Any]:
    users = _enter(folder)
    port, keeper = folder / "port", None
    with (folder / "starting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not port.exists():
            keeper, number = _keeper(recipe, folder, ["--shared"], subprocess.DEVNULL)
            port.write_text(str(number))
    return Server(recipe, int(port.read_text()), folder), (users, keeper)


def _enter(folder: Path) -> IO[str]:
    """A lock on the users' file that is there, and not on one that a keeper has just removed with its folder."""
    while True:
        with suppress(FileNotFoundError):
            folder.mkdir(mode=0o700, exist_ok=True)
            users = (folder / USERS).open("a+")
            fcntl.flock(users, fcntl.LOCK_SH)
            if os.fstat(users.fileno()).st_ino == (folder / USERS).stat().st_ino:
                return users
            users.close()


def _keeper(recipe: Recipe, folder: Path, arguments: list[str], stdin: int) -> "tuple[subprocess.Popen[str], int]":
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.lab.database_keeper", recipe.name, str(folder), *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        cwd=_REPOSITORY,
        text=True,
        start_new_session=True,
    )
    assert keeper.stdout is not None
    said = keeper.stdout.readline().strip()
    if not said:
        raise ChildProcessError(f"{recipe.name} did not start (exit status {keeper.wait()})")
    return keeper, int(said)


def program(name: str, *folders: str) -> str:
    """Where a server's program is: Debian keeps some outside of PATH. Raises ``FileNotFoundError``."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise FileNotFoundError(name)
    return found


def run(command: list[str], **options: Any) -> None:
    """Run a command that must succeed; what it said is in the error."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise ChildProcessError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")

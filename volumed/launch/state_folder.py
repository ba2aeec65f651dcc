"""The folder in which ``volumed up`` keeps everything: one process at a time, the same host name for life."""

import logging
import os
import re
import socket
import stat
from datetime import UTC, datetime
from pathlib import Path

from volumed.model.errors import ConfigurationError
from volumed.operations.locks import ServiceLock

LOG = logging.getLogger(__name__)

#: Files with secrets, sealed or in the clear. The key file is looked at where it is read.
_SECRET = ("volumed.db", "volumed.db-wal", "volumed.db-shm")

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


def default_path() -> Path:
    """Where the XDG base directory specification wants a user's state."""
    data = os.environ.get("XDG_DATA_HOME") or ""
    return (Path(data) if os.path.isabs(data) else Path.home() / ".local" / "share") / "volumed"


class StateFolder:
    """``path``, made when it is missing and readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock = ServiceLock(self.path / "volumed.lock", f"volumed with the state folder {self.path}")
        self._since = datetime.now(UTC).isoformat(timespec="seconds")

    @property
    def configuration(self) -> Path:
        """The file that is read when it is there."""
        return self.path / "volumed.conf"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.path / 'volumed.db'}"

    @property
    def secrets_key(self) -> Path:
        """The file of the keys that seal secrets, made at the first start."""
        return self.path / "secrets.key"

    def take(self) -> None:
        """Become the one process of this folder.

        Raises ``ServiceLocked`` naming the one that is it already, ``ConfigurationError`` for a folder that is no use.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.take(self._holder("starting"))
            self._close_to_others()
        except OSError as error:
            raise ConfigurationError(
                option="--state", reason=f"cannot use {error.filename or self.path}: {error.strerror}"
            ) from error

    def _close_to_others(self) -> None:
        """Only the owner enters the folder, and only he reads the files in which secrets stand."""
        for path in (self.path, *(self.path / name for name in _SECRET)):
            try:
                mode = stat.S_IMODE(path.stat().st_mode)
                if mode & 0o077:
                    path.chmod(mode & 0o700)
                    LOG.warning("%s had mode %04o and is its owner's alone now", path, mode)
            except FileNotFoundError:
                continue

    def tell(self, url: str) -> None:
        """Say in the lock where we serve."""
        self._lock.tell(self._holder(url))

    def release(self) -> None:
        self._lock.release()

    def host(self) -> str:
        """This node's name: what it was called when the folder was made; it outlives the crash of the machine."""
        path = self.path / "host"
        name = path.read_text().strip() if path.exists() else ""
        if not name:  # or an older release left it empty: it did not wait for the disk
            name = socket.gethostname()
            name = name if _HOST.fullmatch(name) else "volumed"
            _write_durably(path, f"{name}\n")
        return name

    def _holder(self, where: str) -> str:
        return f"pid {os.getpid()} ({where}, since {self._since})"


def _write_durably(path: Path, text: str) -> None:
    """Content, then name, each on the disk before the next (a renamed file may be empty after a crash: rename(2))."""
    temporary = path.with_suffix(".new")
    with temporary.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

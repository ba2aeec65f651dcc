"""The file with the keys that stored secrets are sealed with: one Fernet key a line, the first seals, all open.

Knows files and permissions; knows nothing of what is sealed.
"""

import logging
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from volumed.model.errors import ConfigurationError

LOG = logging.getLogger(__name__)

#: What a file that somebody else hands out may allow beside its owner: its group may read it.
_FOREIGN = stat.S_IRGRP


@dataclass(frozen=True, slots=True)
class KeyFile:
    """``own``: it is the state folder's, so it is made when it is missing and is for its owner's eyes alone."""

    path: Path
    own: bool

    def exists(self) -> bool:
        return self.path.exists()

    def keys(self) -> list[bytes]:
        """The keys. Raises ``ConfigurationError`` for a file that is missing, empty, or open to others."""
        try:
            with self.path.open("rb") as stream:
                self._guard(stream.fileno())
                lines = [line.strip() for line in stream.read().splitlines()]
        except OSError as error:
            raise self._wrong(error.strerror or str(error)) from error
        found = [line for line in lines if line and not line.startswith(b"#")]
        if not found:
            raise self._wrong("it holds no key")
        return found

    def make(self) -> None:
        """Have a file with one new key, all or nothing, safe from a power cut when this returns."""
        self.write([new_key()])

    def write(self, keys: Sequence[bytes]) -> None:
        """Replace the keys, all or nothing. Raises ``ConfigurationError`` naming the file."""
        temporary = self.path.with_name(f".{self.path.name}.new")
        try:
            temporary.unlink(missing_ok=True)
            _write_durably(temporary, b"".join(key + b"\n" for key in keys))
            temporary.rename(self.path)
            _sync(self.path.parent)
        except OSError as error:
            raise self._wrong(error.strerror or str(error)) from error

    def _guard(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        mode = stat.S_IMODE(found.st_mode)
        if not mode & 0o077 & (0o077 if self.own else ~_FOREIGN):
            return
        if not self.own:
            raise self._wrong(f"its mode is {mode:04o}, so others than its owner and group may read or change it")
        os.fchmod(descriptor, 0o600)
        LOG.warning("%s had mode %04o and has 0600 now: who read it can open every stored secret", self.path, mode)

    def _wrong(self, reason: str) -> ConfigurationError:
        return ConfigurationError(option=f"key file {self.path}", reason=reason)


def new_key() -> bytes:
    """A key that nobody had before."""
    from cryptography.fernet import Fernet  # imported where it is used: it takes longer than a query

    return Fernet.generate_key()


def _write_durably(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Secrets as they stand in rows: sealed with the keys of a file, each bound to the row that it belongs to.

The only room that seals and opens. A sealed secret is a Fernet token (a JSON string) around ``{"of", "secret"}``;
``of`` names its row, so a token that was copied to another row does not open there. What is read opens when it is first
looked into: a row whose secret does not open can still be listed, detached and deleted.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Connection

from volumed.db.key_file import KeyFile
from volumed.model.errors import ConfigurationError, SecretUnreadable

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

#: Execution option under which a connection carries its database's seal.
SEAL = "volumed_seal"


class Seal:
    """Seals with the first key of ``key_file``, opens with any."""

    def __init__(self, key_file: KeyFile) -> None:
        self.key_file = key_file
        self._loaded: MultiFernet | None = None

    def seal(self, owner: str, secret: Mapping[str, Any]) -> str:
        """``secret`` of the row ``owner`` as text for its column."""
        content = orjson.dumps({"of": owner, "secret": dict(secret)})
        return self._keys().encrypt(content).decode()

    def open(self, owner: str, sealed: str) -> dict[str, Any]:
        """What was sealed for ``owner``. Raises ``SecretUnreadable``."""
        from cryptography.fernet import InvalidToken

        try:
            content = orjson.loads(self._keys().decrypt(sealed))
        except InvalidToken as error:
            raise SecretUnreadable(owner=owner, reason=f"no key in {self.key_file.path} opens it") from error
        if content["of"] != owner:
            raise SecretUnreadable(owner=owner, reason="it was sealed for another row")
        return dict(content["secret"])

    def load(self) -> None:
        """Read the file, which may have changed. Raises ``ConfigurationError``."""
        from cryptography.fernet import Fernet, MultiFernet  # imported where it is used: most commands need it not

        keys = self.key_file.keys()
        try:
            self._loaded = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            reason = "a line is no Fernet key (32 bytes in URL-safe base64)"
            raise ConfigurationError(option=f"key file {self.key_file.path}", reason=reason) from error

    def _keys(self) -> "MultiFernet":
        if self._loaded is None:
            self.load()
        assert self._loaded is not None
        return self._loaded


class Sealed(Mapping[str, Any]):
    """A secret that is opened when somebody looks into it; it shows nothing when it is printed."""

    def __init__(self, seal: Seal, owner: str, text: str) -> None:
        self._seal = seal
        self._owner = owner
        self._text = text

    @cached_property
    def _content(self) -> dict[str, Any]:
        return self._seal.open(self._owner, self._text)

    def __getitem__(self, name: str) -> Any:
        return self._content[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return "<sealed>"


def seal_of(tx: Connection) -> Seal:
    """The seal of the database. Raises ``ConfigurationError`` when it was opened without one."""
    seal: Seal | None = tx.get_execution_options().get(SEAL)
    if seal is None:
        raise ConfigurationError(option="[database] secrets_key_file", reason="no secret can be stored without it")
    return seal

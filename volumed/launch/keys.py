"""The keys of stored secrets at a start, and their change while no service runs.

Knows when a key may be made and what must open; how a secret is sealed is the database's room's matter.
"""

import logging
from pathlib import Path
from typing import Any

from oslo_config import cfg

from volumed.db import attachments
from volumed.db.engine import Database
from volumed.db.key_file import KeyFile, new_key
from volumed.db.sealing import Seal
from volumed.model.credentials import initiator_of, new_credentials
from volumed.model.errors import ConfigurationError

LOG = logging.getLogger(__name__)


def seal_from(conf: cfg.ConfigOpts, own: Path) -> Seal:
    """The seal that the configuration names; ``own`` is the state folder's key file."""
    path = Path(conf.database.secrets_key_file)
    return Seal(KeyFile(path, own=path == own))


def unlock(database: Database) -> None:
    """Have a key before the first secret is stored, and seal what an older release left plain.

    Raises ``ConfigurationError`` when the keys are missing or not those that the secrets in the database want.
    """
    with database.reading() as tx:
        stored = attachments.stored_secrets(tx)
    sealed = {owner: text for owner, text in stored.items() if isinstance(text, str)}
    plain = {owner: secret for owner, secret in stored.items() if not isinstance(secret, str)}
    seal = _seal(database)
    _have_keys(seal.key_file, len(sealed))
    seal.load()
    with database.reading() as tx:
        if sealed and not any(attachments.opens(tx, *each) for each in sealed.items()):
            raise _wrong(seal.key_file, f"no key in it opens any of the {len(sealed)} secrets in the database")
    if plain:
        database.overwrite(lambda tx: attachments.store_secrets(tx, plain))
        LOG.info("%d secrets that an older release stored plain are sealed now", len(plain))


def rotate(database: Database, make_key: bool) -> str:
    """Seal every secret anew with the first key; ``make_key``: with a new one, which is then the only one.

    Whatever dies in between, the file has every key that a row wants. Returns what was done.
    """
    unlock(database)
    seal = _seal(database)
    key_file = seal.key_file
    if make_key and not key_file.own:
        raise ConfigurationError(option="--new-key", reason=f"{key_file.path} is yours: put the new key first in it")
    secrets, unreadable = _opened(database)
    if make_key:
        key_file.write([new_key(), *key_file.keys()])
        seal.load()
    database.overwrite(lambda tx: attachments.store_secrets(tx, secrets))
    if make_key:
        key_file.write(key_file.keys()[:1])
    told = f"{len(secrets)} secrets are sealed with the first key in {key_file.path}"
    return told + (f"; {len(unreadable)} open with no key and are as they were" if unreadable else "")


def replace(database: Database) -> str:
    """Give every attachment whose secret no key opens a new one, an initiator's of one volume the same.

    Returns what was done.
    """
    _have_keys(_seal(database).key_file, 0)
    _, unreadable = _opened(database)
    with database.reading() as tx:
        rows = [attachments.get(tx, attachment_id) for attachment_id in unreadable]
    of_initiator: dict[tuple[str, str], dict[str, str]] = {}
    fresh = {
        row.id: of_initiator.setdefault((row.volume_id, initiator_of(row.connector) or row.id), new_credentials())
        for row in rows
    }
    database.overwrite(lambda tx: attachments.store_secrets(tx, fresh))
    named = ": " + ", ".join(sorted(fresh)) if fresh else ""
    return f"{len(fresh)} attachments have a new secret{named}"


def _seal(database: Database) -> Seal:
    assert database.seal is not None
    return database.seal


def _opened(database: Database) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Every secret by its attachment, and the attachments whose secret no key opens."""
    with database.reading() as tx:
        sealed = {owner: text for owner, text in attachments.stored_secrets(tx).items() if isinstance(text, str)}
        opened = {
            owner: attachments.get(tx, owner) for owner, text in sealed.items() if attachments.opens(tx, owner, text)
        }
    secrets = {owner: dict(row.credentials or {}) for owner, row in opened.items()}
    return secrets, sorted(sealed.keys() - secrets.keys())


def _have_keys(key_file: KeyFile, sealed: int) -> None:
    if key_file.exists():
        return
    if sealed:
        raise _wrong(key_file, f"it is missing, and {sealed} secrets in the database are sealed with its keys")
    if not key_file.own:
        raise ConfigurationError(option="[database] secrets_key_file", reason=f"there is no file {key_file.path}")
    key_file.make()


def _wrong(key_file: KeyFile, reason: str) -> ConfigurationError:
    help_is = 'put the right file there, or see docs/secrets.md, "A key that is lost"'
    return ConfigurationError(option=f"key file {key_file.path}", reason=f"{reason}; {help_is}")

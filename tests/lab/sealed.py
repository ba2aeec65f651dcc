"""The secrets of a state folder, read as docs/secrets.md says that they are kept, and a seal for rows of a test's own.

Reads the key file and the SQLite file with the library's words; asks volumed nothing.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from volumed.db.key_file import KeyFile
from volumed.db.sealing import Seal


def seal_in(folder: Path) -> Seal:
    """A seal with a key of its own in ``folder``."""
    key_file = KeyFile(folder / "secrets.key", own=True)
    key_file.make()
    return Seal(key_file)


def keys(state: Path) -> list[str]:
    """The keys of the folder, none before its first start."""
    path = state / "secrets.key"
    return path.read_text().split() if path.exists() else []


def credentials(state: Path) -> dict[str, dict[str, str]]:
    """User name and password of each attachment whose secret opens, by its id."""
    path = state / "volumed.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as connection:
        found = connection.execute("SELECT id, credentials FROM attachments WHERE credentials IS NOT NULL").fetchall()
    opened = {attachment_id: opened_by(keys(state), attachment_id, stored) for attachment_id, stored in found}
    return {attachment_id: secret for attachment_id, secret in opened.items() if secret is not None}


def opened_by(known: list[str], attachment_id: str, stored: str) -> dict[str, str] | None:
    """What the column's JSON text holds, None where no key opens it for this row."""
    token: Any = json.loads(stored)
    if not known:
        return None
    try:
        content = json.loads(MultiFernet([Fernet(key) for key in known]).decrypt(token))
    except (InvalidToken, TypeError):
        return None
    return dict(content["secret"]) if content["of"] == f"attachment {attachment_id}" else None

"""The secrets of a state folder, read as docs/secrets.md says that they are kept, and a seal for rows of a test's own.

Reads the key file and the rows with the library's words; asks volumed nothing.
"""

import json
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tests.lab import rows
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
    found = rows.select(state, "SELECT id, credentials FROM attachments WHERE credentials IS NOT NULL")
    opened = {row["id"]: opened_by(keys(state), row["id"], _token(row["credentials"])) for row in found}
    return {attachment_id: secret for attachment_id, secret in opened.items() if secret is not None}


def _token(stored: Any) -> Any:
    """A text of JSON on SQLite, its value elsewhere."""
    return json.loads(stored) if str(stored).startswith('"') else stored


def opened_by(known: list[str], attachment_id: str, token: Any) -> dict[str, str] | None:
    """What the sealed ``token`` holds, None where no key opens it for this row."""
    if not known:
        return None
    try:
        content = json.loads(MultiFernet([Fernet(key) for key in known]).decrypt(token))
    except (InvalidToken, TypeError):
        return None
    return dict(content["secret"]) if content["of"] == f"attachment {attachment_id}" else None

"""A stored secret is sealed for its row: what opens it, what does not, and what is left of what it replaced."""

import json
import stat
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from tests.lab import sealed
from volumed.db import attachments, migrate, volume_types, volumes
from volumed.db.engine import Database
from volumed.db.key_file import KeyFile, new_key
from volumed.db.sealing import Seal
from volumed.launch import keys
from volumed.model.errors import ConfigurationError, SecretUnreadable

SECRET = {"username": "its-user", "password": "its-very-own-password"}


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "secrets.key", own=True)


@pytest.fixture
def opened(tmp_path: Path, key_file: KeyFile) -> Any:
    """Opens the database of this folder as a start does."""
    databases: list[Database] = []

    def open_database() -> Database:
        database = Database(f"sqlite:///{tmp_path}/volumed.db", seal=Seal(key_file))
        databases.append(database)
        migrate.upgrade(database)
        database.write(volume_types.ensure_default, "__DEFAULT__")
        return database

    yield open_database
    for database in databases:
        database.close()


Opened = Callable[[], Database]


def attach(database: Database, **more: Any) -> str:
    """An attachment of a volume of its own, with ``SECRET``."""
    with database.reading() as tx:
        kind = volume_types.get(tx, "__DEFAULT__").id
    owned = {"project_id": "p", "user_id": "u"}
    volume = {"id": str(uuid.uuid4()), "size": 1, "status": "in-use", "availability_zone": "nova", "bootable": False}
    volume |= {"volume_type_id": kind, "multiattach": False, "metadata": {}, "facts": {}}
    database.write(volumes.add, **owned, **volume)
    row = {"id": str(uuid.uuid4()), "volume_id": volume["id"], "attach_status": "attached", "attach_mode": "rw"}
    database.write(attachments.add, **owned, **row, **{"credentials": SECRET, **more})
    return str(row["id"])


def read(database: Database, attachment_id: str) -> dict[str, Any]:
    with database.reading() as tx:
        return dict(attachments.get(tx, attachment_id).credentials or {})


def in_the_clear(folder: Path, secret: str = SECRET["password"]) -> list[str]:
    """Files of the folder that hold the secret."""
    return [path.name for path in folder.iterdir() if path.is_file() and secret.encode() in path.read_bytes()]


def write_plain(database: Database, attachment_id: str) -> None:
    """As the release before wrote it."""
    row = {"plain": json.dumps(SECRET), "id": attachment_id}
    statement = text("UPDATE attachments SET credentials = :plain WHERE id = :id")
    database.write(lambda tx: tx.execute(statement, row))


def test_a_secret_is_sealed_in_its_row_and_opens_by_every_query(opened: Opened, tmp_path: Path) -> None:
    database = opened()
    keys.unlock(database)
    attachment_id = attach(database)
    assert read(database, attachment_id) == SECRET
    with database.reading() as tx:
        row = attachments.get(tx, attachment_id)
        everybody = [row, attachments.find(tx, attachment_id), *attachments.of_volume(tx, row.volume_id)]
        everybody += attachments.of_volumes(tx, [row.volume_id])[row.volume_id]
    assert len(everybody) == 4
    assert all(each is not None and dict(each.credentials or {}) == SECRET for each in everybody)
    assert SECRET["password"] not in repr(everybody) + str(row.credentials)
    assert in_the_clear(tmp_path) == []
    assert sealed.credentials(tmp_path) == {attachment_id: SECRET}


def test_a_secret_that_is_changed_is_sealed_and_one_that_goes_is_gone(opened: Opened, tmp_path: Path) -> None:
    database = opened()
    keys.unlock(database)
    attachment_id = attach(database, credentials=None)
    assert read(database, attachment_id) == {}
    database.write(attachments.change, attachment_id, credentials=SECRET)
    assert read(database, attachment_id) == SECRET
    assert in_the_clear(tmp_path) == []
    database.write(attachments.change, attachment_id, credentials=None)
    assert read(database, attachment_id) == {}


def test_a_sealed_secret_that_is_copied_to_another_row_does_not_open_there(opened: Opened) -> None:
    database = opened()
    keys.unlock(database)
    mine, theirs = attach(database), attach(database, credentials=SECRET | {"password": "another-password"})
    copy = text("UPDATE attachments SET credentials = (SELECT credentials FROM attachments WHERE id = :from)")
    database.write(lambda tx: tx.execute(copy, {"from": theirs}))
    with pytest.raises(SecretUnreadable, match=f"attachment {mine} cannot be opened: it was sealed for another row"):
        read(database, mine)
    assert read(database, theirs)["password"] == "another-password"
    with database.reading() as tx:
        assert attachments.get(tx, mine).credentials is not None  # it still can be told from a row without one
    keys.unlock(database)  # one row that does not open keeps nobody from starting


def test_without_a_seal_no_secret_is_stored(tmp_path: Path, opened: Opened) -> None:
    opened()
    bare = Database(f"sqlite:///{tmp_path}/volumed.db")
    with pytest.raises(ConfigurationError, match="secrets_key_file: no secret can be stored without it"):
        attach(bare)
    bare.close()


def test_what_an_older_release_stored_plain_is_read_and_then_sealed_without_a_trace(
    opened: Opened, tmp_path: Path
) -> None:
    database = opened()
    keys.unlock(database)
    plain = [attach(database) for _ in range(40)]
    for attachment_id in plain:
        write_plain(database, attachment_id)
    assert read(database, plain[0]) == SECRET
    assert in_the_clear(tmp_path) != []
    keys.unlock(database)
    assert [read(database, attachment_id) for attachment_id in plain] == [SECRET] * 40
    assert in_the_clear(tmp_path) == []


# --- the key file -----------------------------------------------------------------------------------------------------


def test_the_key_is_made_once_for_its_owner_alone(opened: Opened, key_file: KeyFile) -> None:
    key_file.path.with_name(".secrets.key.new").write_text("left by a start that died here")
    database = opened()
    keys.unlock(database)
    assert stat.S_IMODE(key_file.path.stat().st_mode) == 0o600
    made = key_file.keys()
    keys.unlock(database)
    assert key_file.keys() == made
    assert sorted(path.name for path in key_file.path.parent.glob("*.key*")) == ["secrets.key"]


def test_a_key_that_is_missing_or_wrong_refuses_the_start_and_is_not_replaced(
    opened: Opened, key_file: KeyFile
) -> None:
    database = opened()
    keys.unlock(database)
    attachment_id = attach(database)
    right = key_file.path.read_bytes()
    key_file.path.unlink()
    with pytest.raises(ConfigurationError, match=rf"key file {key_file.path}: it is missing, and 1 secrets"):
        keys.unlock(opened())
    assert not key_file.path.exists()
    key_file.make()
    with pytest.raises(ConfigurationError, match=rf"key file {key_file.path}: no key in it opens"):
        keys.unlock(opened())
    for content, why in ((b"", "it holds no key"), (b"no-key\n", "a line is no Fernet key")):
        key_file.path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=f"{key_file.path}: {why}"):
            keys.unlock(opened())
    key_file.path.write_bytes(b"# the old one is below\n\n" + new_key() + b"\n" + right)
    keys.unlock(database := opened())
    assert read(database, attachment_id) == SECRET


def test_a_key_file_of_the_folder_that_others_may_read_is_closed_with_a_word(
    opened: Opened, key_file: KeyFile, caplog: pytest.LogCaptureFixture
) -> None:
    keys.unlock(opened())
    key_file.path.chmod(0o644)
    keys.unlock(opened())
    assert stat.S_IMODE(key_file.path.stat().st_mode) == 0o600
    assert f"{key_file.path} had mode 0644" in caplog.text


def test_a_key_file_that_somebody_else_hands_out_may_be_read_by_its_group_only(tmp_path: Path) -> None:
    handed_out = KeyFile(tmp_path / "handed-out", own=False)
    handed_out.make()
    for mode in (0o600, 0o640, 0o400, 0o440):
        handed_out.path.chmod(mode)
        assert len(handed_out.keys()) == 1
    for mode in (0o644, 0o604, 0o660, 0o620, 0o602):
        handed_out.path.chmod(mode)
        with pytest.raises(ConfigurationError, match=f"{handed_out.path}: its mode is {mode:04o}"):
            handed_out.keys()
        assert stat.S_IMODE(handed_out.path.stat().st_mode) == mode


def test_a_key_file_that_somebody_else_hands_out_is_never_made(opened: Opened, tmp_path: Path) -> None:
    database = opened()
    database.seal = Seal(KeyFile(tmp_path / "absent", own=False))
    with pytest.raises(ConfigurationError, match=f"secrets_key_file: there is no file {tmp_path}/absent"):
        keys.unlock(database)


# --- another key ------------------------------------------------------------------------------------------------------


def test_rotation_seals_every_secret_with_a_new_key_and_forgets_the_old_one(opened: Opened, key_file: KeyFile) -> None:
    database = opened()
    keys.unlock(database)
    attached = [attach(database) for _ in range(3)]
    (old,) = key_file.keys()
    assert "3 secrets are sealed with the first key" in keys.rotate(database, make_key=True)
    (new,) = key_file.keys()
    assert new != old
    again = opened()
    keys.unlock(again)
    assert [read(again, each) for each in attached] == [SECRET] * 3


def test_keys_in_a_file_of_ones_own_are_rotated_by_their_order(opened: Opened, key_file: KeyFile) -> None:
    database = opened()
    keys.unlock(database)
    attachment_id = attach(database)
    old, new = key_file.keys()[0], new_key()
    key_file.write([new, old])
    again = opened()
    assert read(again, attachment_id) == SECRET
    keys.rotate(again, make_key=False)
    assert key_file.keys() == [new, old]
    token = again.write(lambda tx: attachments.stored_secrets(tx))[attachment_id]
    assert json.loads(Fernet(new).decrypt(token))["secret"] == SECRET


@pytest.mark.parametrize("dies_at", ["file", "rows", "end"])
def test_a_rotation_that_dies_anywhere_leaves_every_secret_readable(
    opened: Opened, key_file: KeyFile, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    database = opened()
    keys.unlock(database)
    attachment_id = attach(database)
    with monkeypatch.context() as patched:
        _die(patched, dies_at)
        with pytest.raises(KeyboardInterrupt):
            keys.rotate(database, make_key=True)
    again = opened()
    keys.unlock(again)
    assert read(again, attachment_id) == SECRET
    keys.rotate(again, make_key=True)
    assert len(key_file.keys()) == 1
    assert read(again, attachment_id) == SECRET


def _die(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """At the rename of the file with both keys, in the middle of the rows, or at the last rename."""
    renames: list[Path] = []
    rename, store = Path.rename, attachments.store_secrets

    def counted(self: Path, target: Path) -> Path:
        renames.append(self)
        if (where, len(renames)) in (("file", 1), ("end", 2)):
            raise KeyboardInterrupt
        return rename(self, target)

    def broken_off(tx: Any, secrets: Any) -> None:
        store(tx, secrets)
        if where == "rows":
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", counted)
    monkeypatch.setattr(attachments, "store_secrets", broken_off)


def test_a_lost_key_costs_new_secrets_and_nothing_else(opened: Opened, key_file: KeyFile) -> None:
    database = opened()
    keys.unlock(database)
    lost = attach(database)
    key_file.path.unlink()
    database = opened()
    assert keys.replace(database) == f"1 attachments have a new secret: {lost}"
    keys.unlock(database)
    fresh = read(database, lost)
    assert fresh.keys() == SECRET.keys()
    assert not set(fresh.values()) & set(SECRET.values())
    assert keys.replace(database) == "0 attachments have a new secret"
    assert read(database, lost) == fresh

"""Secrets at rest, from outside: sealed in the rows, key and files for their owner alone, and another key."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.lab import initiator, sealed
from tests.lab.daemon import PATIENCE, refused
from tests.lab.nursery import ForkedDaemon, forked_daemon

pytestmark = [
    pytest.mark.embedded_only("it is about the key of a state folder"),
    pytest.mark.part("tgtd"),
    pytest.mark.part("qemu-io"),
]

INITIATOR = "iqn.1993-08.org.debian:01:sealed"


@pytest.fixture
def daemon() -> Iterator[ForkedDaemon]:
    with forked_daemon("[DEFAULT]\ngraceful_shutdown_timeout = 2\n") as daemon:
        yield daemon


@pytest.fixture
def attachment(daemon: ForkedDaemon) -> dict[str, Any]:
    """A volume that a client has attached."""
    with daemon.session() as rest:
        return rest.attach(rest.make_volume(), INITIATOR)


def told(daemon: ForkedDaemon, attachment: dict[str, Any]) -> dict[str, Any]:
    """What the client is told to log in with."""
    with daemon.session() as rest:
        return dict(rest.get(f"/attachments/{attachment['id']}").json()["attachment"]["connection_info"])


def logs_in(daemon: ForkedDaemon, attachment: dict[str, Any]) -> bool:
    connection = initiator.Connection.of({"data": told(daemon, attachment)}, INITIATOR)
    deadline = time.monotonic() + PATIENCE
    while not wrote(connection):  # a start restores exports in the background: a target first, then who may log in
        assert time.monotonic() < deadline, daemon.output()
        time.sleep(0.05)
    return initiator.has_pattern(connection, 0x5A, 0, 4096)


def wrote(connection: initiator.Connection) -> bool:
    try:
        initiator.write_pattern(connection, 0x5A, 0, 4096)
    except initiator.InitiatorError:
        return False
    return True


def manage(daemon: ForkedDaemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "volumed.cmd.manage", "secrets", *words, "--state", str(daemon.state)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def sql(daemon: ForkedDaemon, statement: str, *values: str) -> list[Any]:
    with closing(sqlite3.connect(daemon.state / "volumed.db", timeout=20)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_row_is_sealed_and_the_client_logs_in_before_and_after_a_crash(
    daemon: ForkedDaemon, attachment: dict[str, Any]
) -> None:
    ((stored,),) = sql(daemon, "SELECT credentials FROM attachments")
    info = told(daemon, attachment)
    assert info["auth_username"] not in stored
    assert info["auth_password"] not in stored
    assert sealed.credentials(daemon.state)[attachment["id"]]["password"] == info["auth_password"]
    assert logs_in(daemon, attachment)
    daemon.kill()
    daemon.start()
    assert told(daemon, attachment) == info
    assert logs_in(daemon, attachment)


def test_a_missing_key_refuses_the_start_and_names_the_file(daemon: ForkedDaemon, attachment: dict[str, Any]) -> None:
    daemon.stop()
    key = daemon.state / "secrets.key"
    content = key.read_bytes()
    key.unlink()
    said = refused(daemon.state)
    assert said.startswith(f"volumed: key file {key}: it is missing, and 1 secrets in the database are sealed")
    assert "docs/secrets.md" in said
    assert not key.exists()
    key.touch(mode=0o600)
    key.write_bytes(content)
    daemon.start()
    assert logs_in(daemon, attachment)


def test_what_others_might_read_is_closed_to_them_at_the_next_start(daemon: ForkedDaemon) -> None:
    daemon.stop()
    for name, loose in ((".", 0o755), ("secrets.key", 0o640), ("volumed.db", 0o644)):
        (daemon.state / name).chmod(loose)
    daemon.start()
    assert [mode(daemon.state / name) for name in (".", "secrets.key", "volumed.db")] == [0o700, 0o600, 0o600]
    said = daemon.output()
    assert f"{daemon.state} had mode 0755" in said
    assert f"{daemon.state}/secrets.key had mode 0640" in said
    assert f"{daemon.state}/volumed.db had mode 0644" in said


def test_nothing_in_the_state_folder_is_open_to_others(daemon: ForkedDaemon, attachment: dict[str, Any]) -> None:
    assert mode(daemon.state) == 0o700
    ours = [path for path in daemon.state.rglob("*") if path.name != "volumed.conf"]  # the test's own
    assert {"secrets.key", "volumed.db", "volumed.db-wal", "volumed.lock"} <= {path.name for path in ours}
    assert [(path, oct(mode(path))) for path in ours if mode(path) & 0o077] == []


def _take_back_the_schema(daemon: ForkedDaemon) -> None:
    """As the first release left it."""
    for statement in (
        "DROP TABLE event_positions",
        "DROP INDEX ix_events_position",
        "DROP INDEX ix_events_project_id_position",
        "ALTER TABLE events DROP COLUMN position",
        "UPDATE alembic_version SET version_num = '0001'",
    ):
        sql(daemon, statement)


def test_secrets_of_an_older_release_work_on_and_are_sealed(daemon: ForkedDaemon, attachment: dict[str, Any]) -> None:
    info = told(daemon, attachment)
    daemon.stop()
    plain = json.dumps({"username": info["auth_username"], "password": info["auth_password"]})
    sql(daemon, "UPDATE attachments SET credentials = ?", plain)
    _take_back_the_schema(daemon)
    (daemon.state / "secrets.key").unlink()
    daemon.start()
    assert told(daemon, attachment) == info
    assert logs_in(daemon, attachment)
    assert sealed.credentials(daemon.state)[attachment["id"]]["password"] == info["auth_password"]


def test_a_key_is_rotated_while_no_service_runs(daemon: ForkedDaemon, attachment: dict[str, Any]) -> None:
    before = sealed.keys(daemon.state)
    busy = manage(daemon, "rotate", "--new-key")
    assert (busy.returncode, f"pid {daemon.pid}" in busy.stderr) == (2, True)
    daemon.stop()
    done = manage(daemon, "rotate", "--new-key")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"1 secrets are sealed with the first key in {daemon.state}/secrets.key\n"
    after = sealed.keys(daemon.state)
    assert len(after) == 1
    assert after != before
    assert mode(daemon.state / "secrets.key") == 0o600
    daemon.start()
    assert logs_in(daemon, attachment)


def test_a_lost_key_costs_new_secrets_which_the_target_wants_at_once(
    daemon: ForkedDaemon, attachment: dict[str, Any]
) -> None:
    old = told(daemon, attachment)
    daemon.stop()
    os.unlink(daemon.state / "secrets.key")
    done = manage(daemon, "replace")
    assert (done.returncode, done.stdout) == (0, f"1 attachments have a new secret: {attachment['id']}\n")
    daemon.start()
    assert told(daemon, attachment)["auth_password"] != old["auth_password"]
    assert logs_in(daemon, attachment)
    with pytest.raises(initiator.InitiatorError):
        initiator.write_pattern(initiator.Connection.of({"data": old}, INITIATOR), 1, 0, 512)


def test_keys_may_stand_in_a_file_that_the_configuration_names(
    daemon: ForkedDaemon, attachment: dict[str, Any]
) -> None:
    daemon.stop()
    named = daemon.folder / "keys"
    (daemon.state / "secrets.key").rename(named)
    with (daemon.state / "volumed.conf").open("a") as configuration:
        configuration.write(f"[database]\nsecrets_key_file = {named}\n")
    daemon.start()
    assert logs_in(daemon, attachment)
    assert not (daemon.state / "secrets.key").exists()
    daemon.stop()
    named.chmod(0o644)
    assert f"key file {named}: its mode is 0644" in refused(daemon.state)
    named.chmod(0o600)
    assert f"{named} is yours" in manage(daemon, "rotate", "--new-key").stderr
    assert manage(daemon, "rotate").returncode == 0


def test_a_secret_that_does_not_open_is_told_and_keeps_no_other_from_working(daemon: ForkedDaemon) -> None:
    with daemon.session() as rest:
        broken, whole = (rest.attach(rest.make_volume(), INITIATOR) for _ in range(2))
        daemon.stop()
        query = "UPDATE attachments SET credentials = (SELECT credentials FROM attachments WHERE id = ?) WHERE id = ?"
        sql(daemon, query, whole["id"], broken["id"])
        daemon.start()
        assert logs_in(daemon, whole)
        answer = rest.get(f"/attachments/{broken['id']}")
        assert answer.status_code == 500
        assert "cannot be opened: it was sealed for another row" in answer.text
        assert f"the export of volume {broken['volume_id']} stays as it is" in daemon.output()
        assert rest.get("/attachments/detail").status_code == 200
        assert rest.delete(f"/attachments/{broken['id']}").status_code == 200
        rest.wait_for_status(f"/volumes/{broken['volume_id']}", "available")

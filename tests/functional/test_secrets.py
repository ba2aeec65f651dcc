"""A CHAP secret is sealed in the attachment's row, in the answer to who asked for it, and nowhere else."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab import initiator, sealed
from tests.lab.faulty_fleet import CONNECTOR, Fleet, faulty_fleet

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.part("qemu-io")]


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with faulty_fleet("one", target="tgt", arguments=("--debug",)) as fleet:
        yield fleet


def test_a_secret_is_nowhere_but_where_it_must_be(fleet: Fleet) -> None:
    volume_id = fleet.available()
    answers: list[str] = []
    secrets = [_failed_attach(fleet, volume_id, answers)]
    attachment, told = _attach(fleet, volume_id)
    secrets.append(told["auth_password"])
    connection = initiator.Connection.of({"data": told}, CONNECTOR["initiator"])
    initiator.write_pattern(connection, 0x5A, 0, 1 << 16)
    with initiator.session(connection) as session:
        assert session.has_pattern(0x5A, 0, 1 << 16)
        _refused_by_the_target(connection)
        assert _in_processes(secrets) == []
    _failed_detach(fleet, attachment, answers)
    assert fleet.rest.delete(f"/attachments/{attachment}").status_code == 200
    secrets.append(_classic(fleet, volume_id))

    assert len(set(secrets)) == 3
    assert all(len(secret) >= 16 for secret in secrets)
    answers += _asked_afterwards(fleet, volume_id)
    assert [answer for answer in answers if _has(answer, secrets)] == []
    assert _in_logs(fleet, secrets) == []
    assert _in_rows(fleet, secrets) == []
    assert "DEBUG" in fleet.daemon.output()


def _failed_attach(fleet: Fleet, volume_id: str, answers: list[str]) -> str:
    """An attach that hangs, fails, and whose undo fails too; its secret, which only the row knew."""
    fleet.faults["one"].order("ensure_export", "OutcomeUnknown", after=True, pause=0.5)
    fleet.faults["one"].order("remove_export", "BackendUnreachable")
    asking = threading.Thread(target=lambda: answers.append(fleet.attach(volume_id).text))
    asking.start()
    while not (secrets := sealed.credentials(fleet.daemon.state)):
        time.sleep(0.01)
    asking.join()
    for found in fleet.rest.get("/attachments", params={"volume_id": volume_id}).json()["attachments"]:
        fleet.rest.delete(f"/attachments/{found['id']}").raise_for_status()
    (secret,) = secrets.values()
    return secret["password"]


def _attach(fleet: Fleet, volume_id: str) -> tuple[str, dict[str, Any]]:
    body = {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}}
    answer = fleet.rest.post("/attachments", json=body, headers={"Idempotency-Key": "once"})
    answer.raise_for_status()
    attachment = answer.json()["attachment"]
    fleet.rest.post(f"/attachments/{attachment['id']}/action", json={"os-complete": {}}).raise_for_status()
    return attachment["id"], attachment["connection_info"]


def _refused_by_the_target(connection: initiator.Connection) -> None:
    """A wrong secret, so that tgtd has something to say."""
    with pytest.raises(initiator.InitiatorError):
        initiator.write_pattern(replace(connection, password="wrong-secret-16b"), 1, 0, 512)


def _failed_detach(fleet: Fleet, attachment_id: str, answers: list[str]) -> None:
    fleet.faults["one"].order("remove_export", "BackendUnreachable", lasting=True)
    answer = fleet.rest.delete(f"/attachments/{attachment_id}")
    assert answer.status_code == 503
    answers.append(answer.text)
    fleet.faults["one"].clear()


def _classic(fleet: Fleet, volume_id: str) -> str:
    """The classic actions; the secret of their connection."""
    path = f"/volumes/{volume_id}/action"
    answer = fleet.rest.post(path, json={"os-initialize_connection": {"connector": CONNECTOR}})
    answer.raise_for_status()
    ended = fleet.rest.post(path, json={"os-terminate_connection": {"connector": CONNECTOR}})
    ended.raise_for_status()
    return str(answer.json()["connection_info"]["data"]["auth_password"])


def _asked_afterwards(fleet: Fleet, volume_id: str) -> list[str]:
    """Everything that may be asked about it."""
    paths = [f"/volumes/{volume_id}", f"/volumes/{volume_id}/timeline", "/volumes/detail", "/attachments/detail"]
    paths += [f"/operations/{row['id']}" for row in fleet.outside.rows("SELECT id FROM operations")]
    texts = [fleet.rest.get(path).text for path in paths]
    return [*texts, fleet.rest.get(f"{fleet.daemon.url}/metrics").text]


def _has(text: str | bytes, secrets: list[str]) -> bool:
    data = text.encode() if isinstance(text, str) else text
    return any(secret.encode() in data for secret in secrets)


def _in_processes(secrets: list[str]) -> list[str]:
    """Processes whose command line or environment names one; everybody may list those."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                data = (process / name).read_bytes()
            except OSError:
                continue
            if int(process.name) != os.getpid() and _has(data, secrets):
                found.append(f"{name} of {(process / 'comm').read_text()}")
    return found


def _in_logs(fleet: Fleet, secrets: list[str]) -> list[str]:
    logs = [fleet.daemon.log, *fleet.daemon.state.rglob("*.log")]
    assert len(logs) == 2  # the daemon's and tgtd's
    return [str(path) for path in logs if _has(path.read_bytes(), secrets)]


def _in_rows(fleet: Fleet, secrets: list[str]) -> list[str]:
    """Columns of the database that hold one; events are a table like any."""
    tables = [row["name"] for row in fleet.outside.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert {"events", "operations", "idempotency_keys", "attachments"} <= set(tables)
    return [
        f"{table}.{column}"
        for table in tables
        for row in fleet.outside.rows(f"SELECT * FROM {table}")
        for column, value in row.items()
        if _has(str(value), secrets)
    ]

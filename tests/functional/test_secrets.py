"""A CHAP secret is sealed in the attachment's row, in the answer to who asked for it, and nowhere else."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
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
    """What may leak it is done here, with every detail logged; the watcher looks at the end of the fleet."""
    volume_id = fleet.available()
    secrets = {_failed_attach(fleet, volume_id)}
    attachment, told = _attach(fleet, volume_id)
    secrets.add(told["auth_password"])
    connection = initiator.Connection.of({"data": told}, CONNECTOR["initiator"])
    initiator.write_pattern(connection, 0x5A, 0, 1 << 16)
    with initiator.session(connection) as session:
        assert session.has_pattern(0x5A, 0, 1 << 16)
        _refused_by_the_target(connection)
    _failed_detach(fleet, attachment)
    assert fleet.rest.delete(f"/attachments/{attachment}").status_code == 200
    secrets.add(_classic(fleet, volume_id))
    _ask_for_everything(fleet, volume_id)

    assert len(secrets) == 3
    assert all(len(secret) >= 16 for secret in secrets)
    assert {secret.encode() for secret in secrets} < fleet.daemon.watch.secrets(fleet.daemon.state)
    assert "DEBUG" in fleet.daemon.output()
    assert [path.name for path in fleet.daemon.state.rglob("*.log")] == ["tgtd.log"]


def _failed_attach(fleet: Fleet, volume_id: str) -> str:
    """An attach that hangs, fails, and whose undo fails too; its secret, which only the row knew."""
    fleet.faults["one"].order("ensure_export", "OutcomeUnknown", after=True, pause=0.5)
    fleet.faults["one"].order("remove_export", "BackendUnreachable")
    asking = threading.Thread(target=fleet.attach, args=(volume_id,))
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


def _failed_detach(fleet: Fleet, attachment_id: str) -> None:
    fleet.faults["one"].order("remove_export", "BackendUnreachable", lasting=True)
    answer = fleet.rest.delete(f"/attachments/{attachment_id}")
    assert answer.status_code == 503
    fleet.faults["one"].clear()


def _classic(fleet: Fleet, volume_id: str) -> str:
    """The classic actions; the secret of their connection."""
    path = f"/volumes/{volume_id}/action"
    answer = fleet.rest.post(path, json={"os-initialize_connection": {"connector": CONNECTOR}})
    answer.raise_for_status()
    ended = fleet.rest.post(path, json={"os-terminate_connection": {"connector": CONNECTOR}})
    ended.raise_for_status()
    return str(answer.json()["connection_info"]["data"]["auth_password"])


def _ask_for_everything(fleet: Fleet, volume_id: str) -> None:
    """All that may be asked about it."""
    paths = [f"/volumes/{volume_id}", f"/volumes/{volume_id}/timeline", "/volumes/detail", "/attachments/detail"]
    paths += [f"/operations/{row['id']}" for row in fleet.outside.rows("SELECT id FROM operations")]
    for path in [*paths, f"{fleet.daemon.url}/metrics"]:
        assert fleet.rest.get(path).status_code == 200, path

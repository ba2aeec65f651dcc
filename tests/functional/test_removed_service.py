"""What is asked of a volume whose service was removed is refused: nobody would ever do it."""

from collections.abc import Iterator

import pytest

from tests.lab.daemon import Daemon, Session
from tests.lab.seeded import Seeds

pytestmark = pytest.mark.embedded_only("the fleet's own test removes a service that is lost")


@pytest.fixture
def rest(shared_daemon: Daemon) -> Iterator[Session]:
    with shared_daemon.session() as session:
        yield session


@pytest.fixture
def orphaned(shared_daemon: Daemon, rest: Session) -> str:
    """A volume on a backend that has no service."""
    volume_id = rest.make_volume()
    Seeds(shared_daemon, rest).sql(f"UPDATE volumes SET host = 'gone@disk#pool' WHERE id = '{volume_id}'")
    return volume_id


@pytest.mark.parametrize("asked", ["extend", "snapshot", "delete", "attach", "reset"])
def test_a_request_is_refused_with_the_services_name_and_changes_nothing(
    rest: Session, orphaned: str, asked: str
) -> None:
    path = f"/volumes/{orphaned}"
    answer = {
        "extend": lambda: rest.post(f"{path}/action", json={"os-extend": {"new_size": 2}}),
        "snapshot": lambda: rest.post("/snapshots", json={"snapshot": {"volume_id": orphaned}}),
        "delete": lambda: rest.delete(path),
        "attach": lambda: rest.post(
            "/attachments",
            json={
                "attachment": {"volume_uuid": orphaned, "connector": {"initiator": "iqn.2024-01.org.example:client"}}
            },
        ),
        "reset": lambda: rest.post(f"{path}/action", json={"os-reset_status": {"status": "available"}}),
    }[asked]()
    assert answer.status_code == 409, answer.text
    assert "gone@disk has no service any more" in answer.json()["conflictingRequest"]["message"]
    volume = rest.get(path).json()["volume"]
    assert (volume["status"], volume["size"], volume["attachments"]) == ("available", 1, [])

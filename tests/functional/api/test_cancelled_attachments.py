"""Who waits for an attach that somebody cancels meanwhile is told so."""

import threading
import time
from typing import Any

import pytest

from tests.functional.api.stage import Api, PlayedManager
from tests.functional.api.test_attachments import CONNECTOR


@pytest.fixture
def options() -> dict[tuple[str, str], Any]:
    return {("api", "attach_timeout"): 60}


def test_who_waits_for_an_attach_that_is_cancelled_is_told_so(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)

    def cancel() -> None:
        (attach,) = manager.live()
        api.post(f"/v3/operations/{attach.id}/action", {"cancel": {}})
        manager.finish_all()

    soon = manager.soon(cancel)
    told = api.ask("POST", "/v3/attachments", {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}})
    soon.join()
    assert told.status_code == 409
    assert "cancelled as user" in told.json["conflictingRequest"]["message"]


def test_a_classic_attach_that_somebody_ends_meanwhile_is_told_so(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)

    def end() -> None:
        (attach,) = manager.live()
        deleting = threading.Thread(target=api.ask, args=("DELETE", f"/v3/attachments/{attach.resource_id}"))
        deleting.start()
        deadline = time.monotonic() + 30
        while len(manager.live()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        manager.finish_all()
        deleting.join()

    soon = manager.soon(end)
    body = {"os-initialize_connection": {"connector": CONNECTOR}}
    told = api.ask("POST", f"/v3/volumes/{volume_id}/action", body)
    soon.join()
    assert told.status_code in (404, 409), told.text  # gone with its attachment, or told why
    assert api.volume(volume_id)["status"] == "available"

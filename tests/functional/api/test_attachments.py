"""Attachments over HTTP: an attach is a call for the client and an operation inside."""

import logging
from typing import Any

import pytest

from tests.functional.api.stage import CONNECTOR, Api, PlayedManager
from volumed.db.engine import Database
from volumed.db.tables import METADATA

INSTANCE = "11111111-1111-4111-8111-111111111111"


def attach(api: Api, manager: PlayedManager, volume_id: str, **asked: Any) -> dict[str, Any]:
    """A new attachment as its client is told of it."""
    soon = manager.soon(manager.finish_all)
    told = api.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR, **asked}}, 200)
    soon.join()
    attachment: dict[str, Any] = told["attachment"]
    return attachment


def test_reserve_connect_complete_and_delete(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    asked = {"volume_uuid": volume_id, "instance_uuid": INSTANCE}
    reserved = api.post("/v3/attachments", {"attachment": asked}, 200)["attachment"]
    assert (reserved["status"], reserved["connection_info"]) == ("reserved", {})
    assert api.volume(volume_id)["status"] == "reserved"
    assert manager.live() == []
    path = f"/v3/attachments/{reserved['id']}"

    soon = manager.soon(manager.finish_all)
    told = api.put(path, {"attachment": {"connector": CONNECTOR}})["attachment"]
    soon.join()
    assert told["connection_info"]["driver_volume_type"] == "iscsi"
    assert told["connection_info"]["auth_method"] == "CHAP"
    assert (told["status"], api.volume(volume_id)["status"]) == ("attaching", "attaching")
    assert api.volume(volume_id)["attachments"] == []

    api.post(f"{path}/action", {"os-complete": {}}, 204)
    assert api.get(path)["attachment"]["status"] == "attached"
    volume = api.volume(volume_id)
    assert volume["status"] == "in-use"
    assert [(each["attachment_id"], each["server_id"]) for each in volume["attachments"]] == [
        (reserved["id"], INSTANCE)
    ]
    soon = manager.soon(manager.finish_all)
    assert api.delete(path, expected=200) == {"attachments": []}
    soon.join()
    assert api.volume(volume_id)["status"] == "available"


def test_a_reservation_ends_at_once(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    reserved = api.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id}}, 200)["attachment"]
    api.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id}}, 400)
    api.delete(f"/v3/attachments/{reserved['id']}", expected=200)
    assert api.volume(volume_id)["status"] == "available"


def test_clients_that_cannot_complete_are_in_when_they_are_let_in(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    assert attach(api.at("3.43"), manager, volume_id)["status"] == "attached"
    assert api.volume(volume_id)["status"] == "in-use"


def test_attachments_are_unknown_before_their_microversion(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    body = {"attachment": {"volume_uuid": volume_id}}
    api.at("3.26").post("/v3/attachments", body, 404)
    assert api.at("3.26").ask("GET", "/v3/attachments/detail").status_code == 404
    made = api.at("3.27").post("/v3/attachments", body, 200)["attachment"]
    api.at("3.43").post(f"/v3/attachments/{made['id']}/action", {"os-complete": {}}, 404)


def test_a_failed_attach_says_why_and_may_be_tried_again(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    soon = manager.soon(lambda: manager.fail_all("the target refuses", "BackendInvalid"))
    body = {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}}
    told = api.post("/v3/attachments", body, 400)
    soon.join()
    assert told["badRequest"]["message"] == "the target refuses"
    (left,) = api.get("/v3/attachments")["attachments"]
    assert left["status"] == "error_attaching"
    soon = manager.soon(manager.finish_all)
    api.put(f"/v3/attachments/{left['id']}", {"attachment": {"connector": CONNECTOR}})
    soon.join()
    assert api.volume(volume_id)["status"] == "attaching"


@pytest.mark.parametrize(
    ("kind", "expected"), [("BackendUnreachable", 503), ("RuntimeError", 500), ("BackendFull", 400)]
)
def test_the_code_of_a_failed_attach_says_whose_fault_it_is(
    api: Api, manager: PlayedManager, kind: str, expected: int
) -> None:
    volume_id = manager.available(api)
    soon = manager.soon(lambda: manager.fail_all("no", kind))
    api.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}}, expected)
    soon.join()


def test_an_attach_that_takes_long_is_joined(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    body = {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}}
    late = api.ask("POST", "/v3/attachments", body)
    (operation,) = manager.live()
    assert late.status_code == 503
    assert operation.id in late.json["serviceUnavailable"]["message"]
    assert late.headers["Volumed-Operation-Id"] == operation.id
    assert int(late.headers["Retry-After"]) > 0
    path = f"/v3/attachments/{operation.resource_id}"
    other = {"attachment": {"connector": CONNECTOR | {"initiator": "iqn.other:x"}}}
    api.put(path, other, expected=400)
    soon = manager.soon(manager.finish_all)
    told = api.put(path, {"attachment": {"connector": CONNECTOR}})
    soon.join()
    assert told["attachment"]["connection_info"]["target_lun"] == 1
    again = api.put(path, {"attachment": {"connector": CONNECTOR}})
    assert again == told


def test_the_end_of_an_attachment_that_is_being_let_in_cancels_that(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    body = {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}}
    assert api.ask("POST", "/v3/attachments", body).status_code == 503
    (attach,) = manager.live()
    path = f"/v3/attachments/{attach.resource_id}"
    late = api.ask("DELETE", path)
    assert late.status_code == 503
    cancelled, waiting = manager.live()
    assert (cancelled.id, cancelled.cancel_requested) == (attach.id, True)
    assert (waiting.kind, waiting.state, waiting.id) == (
        "attachment.detach",
        "waiting",
        late.headers["Volumed-Operation-Id"],
    )
    assert attach.id in str(waiting.wait_reason)
    assert api.ask("DELETE", path).headers["Volumed-Operation-Id"] == waiting.id
    manager.finish_all()
    assert api.ask("GET", path).status_code == 404
    assert api.volume(volume_id)["status"] == "available"
    assert api.get(f"/v3/operations/{attach.id}")["operation"]["error"]["type"] == "Cancelled"
    assert api.get(f"/v3/operations/{waiting.id}")["operation"]["state"] == "succeeded"


def test_what_ends_an_attach_by_force_is_forced_too(admin: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(admin)
    admin.ask("POST", "/v3/attachments", {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}})
    admin.ask("DELETE", f"/v3/attachments/{manager.live()[0].resource_id}")
    assert manager.live()[1].args.get("force") is None
    admin.ask("POST", f"/v3/volumes/{volume_id}/action", {"os-force_detach": {}})
    detach = manager.live()[1]
    assert (detach.kind, detach.args.get("force")) == ("attachment.detach", True)


def test_a_repeated_attach_waits_for_the_first(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    body = {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}}
    assert api.ask("POST", "/v3/attachments", body, Idempotency_Key="k").status_code == 503
    soon = manager.soon(manager.finish_all)
    again = api.ask("POST", "/v3/attachments", body, Idempotency_Key="k")
    soon.join()
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.json["attachment"]["connection_info"]["auth_method"] == "CHAP"


def test_secrets_are_in_the_owners_answer_and_in_no_column(
    api: Api, database: Database, manager: PlayedManager, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    volume_id = manager.available(api)
    told = attach(api, manager, volume_id)["connection_info"]
    password = told["auth_password"]
    assert len(password) >= 16
    assert len(told["auth_username"]) >= 16
    assert password not in caplog.text
    assert api.get(f"/v3/attachments/{attach_id(api)}")["attachment"]["connection_info"] == told
    for path in (
        *("/v3/attachments/detail", "/v3/operations", f"/v3/volumes/{volume_id}/timeline"),
        *(f"/v3/volumes/{volume_id}", "/v3/volumes/detail"),
    ):
        assert password not in api.ask("GET", path).text, path
    with database.reading() as tx:
        for table in METADATA.sorted_tables:
            for column in table.columns:
                rows = [str(value) for (value,) in tx.execute(column.table.select().with_only_columns(column))]
                assert [row for row in rows if password in row] == [], column


def attach_id(api: Api) -> str:
    (found,) = api.get("/v3/attachments")["attachments"]
    return str(found["id"])


def test_a_multiattach_volume_is_attached_twice(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api, multiattach=True)
    first = attach(api, manager, volume_id, instance_uuid=INSTANCE)
    api.post(f"/v3/attachments/{first['id']}/action", {"os-complete": {}}, 204)
    second = attach(api, manager, volume_id, connector=CONNECTOR | {"initiator": "iqn.other:x"})
    api.post(f"/v3/attachments/{second['id']}/action", {"os-complete": None}, 204)
    assert len(api.volume(volume_id)["attachments"]) == 2
    soon = manager.soon(manager.finish_all)
    left = api.delete(f"/v3/attachments/{first['id']}", expected=200)["attachments"]
    soon.join()
    assert [each["id"] for each in left] == [second["id"]]
    assert api.volume(volume_id)["status"] == "in-use"


def test_an_instance_that_moves_attaches_from_both_hosts(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    first = attach(api, manager, volume_id, instance_uuid=INSTANCE)
    api.post(f"/v3/attachments/{first['id']}/action", {"os-complete": {}}, 204)
    api.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id}}, 400)
    api.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id, "instance_uuid": INSTANCE}}, 200)


def test_anothers_attachment_does_not_exist(api: Api, stranger: Api, manager: PlayedManager) -> None:
    made = attach(api, manager, manager.available(api))
    path = f"/v3/attachments/{made['id']}"
    assert stranger.ask("GET", path).status_code == 404
    stranger.put(path, {"attachment": {"connector": CONNECTOR}}, expected=404)
    stranger.post(f"{path}/action", {"os-complete": {}}, 404)
    stranger.delete(path, expected=404)
    assert stranger.get("/v3/attachments")["attachments"] == []
    assert stranger.get(f"/v3/attachments?volume_id={made['volume_id']}")["attachments"] == []


# --- the classic actions -------------------------------------------------------------------------------------------


def initialize(api: Api, manager: PlayedManager, volume_id: str) -> Any:
    soon = manager.soon(manager.finish_all)
    told = api.act(volume_id, "os-initialize_connection", {"connector": CONNECTOR}, expected=200)
    soon.join()
    return told["connection_info"]


def test_the_classic_walk(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    api.act(volume_id, "os-reserve")
    assert api.volume(volume_id)["status"] == "attaching"
    told = initialize(api, manager, volume_id)
    assert told["driver_volume_type"] == "iscsi"
    assert told["data"]["auth_method"] == "CHAP"
    assert api.act(volume_id, "os-initialize_connection", {"connector": CONNECTOR}, 200)["connection_info"] == told
    api.act(volume_id, "os-attach", {"instance_uuid": INSTANCE, "mountpoint": "/dev/vdb", "mode": "rw"})
    volume = api.volume(volume_id)
    assert (volume["status"], len(volume["attachments"])) == ("in-use", 1)
    assert volume["attachments"][0]["device"] == "/dev/vdb"
    api.act(volume_id, "os-begin_detaching")
    assert api.volume(volume_id)["status"] == "detaching"
    soon = manager.soon(manager.finish_all)
    api.act(volume_id, "os-terminate_connection", {"connector": CONNECTOR})
    soon.join()
    api.act(volume_id, "os-detach", {})
    assert api.volume(volume_id)["status"] == "available"
    assert api.volume(volume_id)["attachments"] == []


def test_detach_before_terminate_ends_alike(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    initialize(api, manager, volume_id)
    api.act(volume_id, "os-attach", {"host_name": "node", "mountpoint": "/dev/vdb"})
    soon = manager.soon(manager.finish_all)
    api.act(volume_id, "os-detach")
    soon.join()
    api.act(volume_id, "os-terminate_connection", {"connector": CONNECTOR})
    assert api.volume(volume_id)["status"] == "available"


def test_marks_can_be_taken_back(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    api.act(volume_id, "os-reserve")
    api.act(volume_id, "os-reserve", expected=400)
    api.act(volume_id, "os-unreserve")
    api.act(volume_id, "os-begin_detaching", expected=400)
    assert api.volume(volume_id)["status"] == "available"
    api.act(volume_id, "os-attach", {"host_name": "node", "mountpoint": "/dev/vdb"})
    api.act(volume_id, "os-begin_detaching")
    api.act(volume_id, "os-roll_detaching")
    assert api.volume(volume_id)["status"] == "in-use"
    api.act(volume_id, "os-detach", {"attachment_id": None})
    assert api.volume(volume_id)["status"] == "available"


def test_a_failed_os_initialize_connection_leaves_nothing(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    soon = manager.soon(lambda: manager.fail_all("no", "BackendInvalid"))
    api.act(volume_id, "os-initialize_connection", {"connector": CONNECTOR}, expected=400)
    soon.join()
    assert api.volume(volume_id)["status"] == "available"
    assert api.get("/v3/attachments")["attachments"] == []


def test_a_second_connector_is_not_let_in(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    initialize(api, manager, volume_id)
    other = CONNECTOR | {"initiator": "iqn.other:x", "host": "other"}
    api.act(volume_id, "os-initialize_connection", {"connector": other}, expected=400)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"mountpoint": "/dev/vdb"},
        {"instance_uuid": INSTANCE, "host_name": "node"},
        {"instance_uuid": "x"},
        {"host_name": "node", "mode": "rx"},
    ],
)
def test_os_attach_names_one_user(api: Api, manager: PlayedManager, asked: dict[str, Any]) -> None:
    volume_id = manager.available(api)
    api.act(volume_id, "os-attach", asked, expected=400)
    assert api.volume(volume_id)["status"] == "available"


def test_an_os_initialize_connection_that_was_cut_off_leaves_nothing_for_the_next(
    api: Api, database: Database, manager: PlayedManager
) -> None:
    volume_id = manager.available(api)
    assert (
        api.ask("POST", f"/v3/volumes/{volume_id}/action", {"os-initialize_connection": {"connector": CONNECTOR}})
    ).status_code == 503
    manager.fail_all("no", "BackendInvalid")
    assert api.volume(volume_id)["status"] == "reserved"
    initialize(api, manager, volume_id)
    assert len(api.get("/v3/attachments")["attachments"]) == 1

"""``/v3/volumes/{id}/why``: each reason, from the rows that make it one."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.api.stage import CONNECTOR, Api, PlayedManager

if TYPE_CHECKING:
    from volumed.db.engine import Database

HOST = "node@file"


@pytest.fixture
def options() -> dict[tuple[str, str], Any]:
    return {("api", "attach_timeout"): 60}


def why(api: Api, volume_id: str) -> dict[str, Any]:
    told: dict[str, Any] = api.get(f"/v3/volumes/{volume_id}/why")["why"]
    assert told["volume_id"] == volume_id
    return told


def only(api: Api, volume_id: str, kind: str) -> dict[str, Any]:
    """The one finding that there is."""
    (finding,) = why(api, volume_id)["findings"]
    assert finding["type"] == kind, finding
    return dict(finding)


def create(api: Api, **asked: Any) -> str:
    return str(api.post("/v3/volumes", {"volume": {"size": 1, **asked}})["volume"]["id"])


def test_nothing_holds_a_volume_that_rests(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    assert why(api, volume_id)["status"] == "available"
    assert only(api, volume_id, "nothing")["sentence"].startswith("Nothing holds it; it is available since ")


def test_a_queued_create_names_who_asked_and_the_scheduler(api: Api, admin: Api, manager: PlayedManager) -> None:
    volume_id = create(api)
    (operation,) = manager.live()
    found = only(api, volume_id, "operation")
    assert (found["kind"], found["state"]) == ("volume.create", "queued")
    assert (found["operation_id"], found["request_id"]) == (operation.id, operation.request_id)
    assert (found["user_id"], found["project_id"]) == ("alice", "p1")
    assert found["waits_for"] == {"service": "volumed-scheduler", "is_up": True}
    for words in (
        "The volume.create on it is queued, asked at 20",
        "by user alice",
        f"with request {operation.request_id}",
        "It waits for volumed-scheduler, which is up.",
    ):
        assert words in found["sentence"], found["sentence"]
    assert only(admin, volume_id, "operation")["queue"] == "scheduler"


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        ("up", None, "It waits for volumed-volume on node@file, which is up."),
        (
            "down",
            "no tgtd: apt-get install tgt.",
            "It needs volumed-volume on node@file, which is down (no tgtd: apt-get install tgt), and goes on when that "
            "is up.",
        ),
    ],
)
def test_a_queued_delete_says_whether_its_service_is_up(
    api: Api,
    admin: Api,
    database: "Database",
    manager: PlayedManager,
    state: str,
    reason: str | None,
    told: str,
) -> None:
    from volumed.db import services

    volume_id = manager.available(api)
    api.delete(f"/v3/volumes/{volume_id}")
    database.write(services.report, "volumed-volume", HOST, "incarnation", state, reason)
    found = only(admin, volume_id, "operation")
    assert found["waits_for"]["host"] == HOST
    assert found["waits_for"]["is_up"] is (state == "up")
    assert found["sentence"].endswith(told), found["sentence"]
    mine = only(api, volume_id, "operation")
    assert "queue" not in mine
    assert HOST not in str(mine)
    assert mine["waits_for"]["is_up"] is (state == "up")


def test_a_service_that_is_silent_is_down_whatever_it_said_last(
    api: Api, admin: Api, database: "Database", manager: PlayedManager
) -> None:
    from sqlalchemy import update

    from volumed.db.tables import services

    volume_id = manager.available(api)
    api.delete(f"/v3/volumes/{volume_id}")
    database.write(lambda tx: tx.execute(update(services).values(updated_at=services.c.updated_at - 3_600_000_000)))
    found = only(admin, volume_id, "operation")
    assert not found["waits_for"]["is_up"]
    assert found["waits_for"]["reason"].startswith("it has not reported since 20")
    database.write(lambda tx: tx.execute(services.delete()))
    assert only(admin, volume_id, "operation")["waits_for"]["reason"] == "it has never reported"


def claimed(database: "Database", manager: PlayedManager) -> Any:
    (operation,) = manager.live()
    return database.write(manager._claimed, operation)


def test_a_running_operation_says_in_which_step_and_how_far(
    api: Api, database: "Database", manager: PlayedManager
) -> None:
    from volumed.db import operations

    volume_id = create(api)
    held = claimed(database, manager)
    step = {
        "step": "provision",
        "direction": "do",
        "attempt": 0,
        "start": 1,
        "done_bytes": 1 << 20,
        "total_bytes": 4 << 20,
    }
    database.write(operations.note, held, [step])
    found = only(api, volume_id, "operation")
    assert (found["state"], found["step"]) == ("running", "provision")
    assert "It is in the step provision (25 % of 4194304 bytes)." in found["sentence"]
    assert found["not_before"] is None


def test_a_waiting_operation_says_why_and_when_it_is_tried_again(
    api: Api, database: "Database", manager: PlayedManager
) -> None:
    from volumed.db import operations

    volume_id = create(api)
    held = claimed(database, manager)
    step = {"step": "remove", "direction": "do", "attempt": 0, "start": 1, "end": 2, "outcome": "failed", "error": "no"}
    database.write(operations.wait, held, "the pool is read-only.", 3600.0, [step])
    found = only(api, volume_id, "operation")
    assert (found["state"], found["wait_reason"], found["step"]) == ("waiting", "the pool is read-only.", "remove")
    assert found["not_before"] > found["since"]
    assert "It waits because of: the pool is read-only. It is tried again at 20" in found["sentence"]


def test_an_undo_says_what_it_takes_back_and_why(api: Api, database: "Database", manager: PlayedManager) -> None:
    from volumed.db import operations

    volume_id = create(api)
    held = claimed(database, manager)
    step = {"step": "provision", "direction": "undo", "attempt": 0, "start": 1}
    database.write(operations.begin_undo, held, {"type": "BackendFull", "message": "no space"}, [step])
    found = only(api, volume_id, "operation")
    assert (found["state"], found["step"]) == ("undoing", "undo of provision")
    assert "It is taken back because of: no space. It is in the step undo of provision." in found["sentence"]


def test_who_reads_a_volume_or_its_snapshot_is_told_and_what_is_anothers_without_its_names(
    api: Api, manager: PlayedManager
) -> None:
    volume_id = manager.available(api)
    snapshot_id = manager.snapshot(api, volume_id)
    clone = create(api, source_volid=volume_id)
    restored = create(api, snapshot_id=snapshot_id)
    found = [each for each in why(api, volume_id)["findings"] if each["type"] == "reader"]
    assert {(each["volume_id"], each["source_id"]) for each in found} == {(clone, volume_id), (restored, snapshot_id)}
    assert f"A volume.create reads it for volume {clone} and is queued" in " ".join(each["sentence"] for each in found)
    owner_of_another = Viewing(found[0]["operation_id"])
    told = owner_of_another.sentence(api, manager, volume_id)
    assert "for another project" in told
    assert clone not in told
    manager.finish_all()
    assert [each["type"] for each in why(api, volume_id)["findings"]] == ["snapshots"]


class Viewing:
    """A reader of another project, which an administrator may make."""

    def __init__(self, operation_id: str) -> None:
        self._operation_id = operation_id

    def sentence(self, api: Api, manager: PlayedManager, volume_id: str) -> str:
        from sqlalchemy import update

        from volumed.db.tables import operations

        moved = update(operations).where(operations.c.id == self._operation_id).values(project_id="p2")
        manager._database.write(lambda tx: tx.execute(moved))
        reader = next(each for each in why(api, volume_id)["findings"] if "operation_id" not in each)
        return str(reader)


def test_an_attachment_names_instance_and_host(api: Api, admin: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    instance = "11111111-2222-4333-8444-555555555555"
    body = {"volume_uuid": volume_id, "instance_uuid": instance}
    reserved = api.post("/v3/attachments", {"attachment": body}, 200)["attachment"]
    assert "reserves it" in only(api, volume_id, "attachment")["sentence"]
    waiting = manager.soon(manager.finish_all)
    api.put(f"/v3/attachments/{reserved['id']}", {"attachment": {"connector": CONNECTOR}})
    waiting.join()
    api.post(f"/v3/attachments/{reserved['id']}/action", {"os-complete": {}}, 204)
    found = only(api, volume_id, "attachment")
    assert (found["attachment_id"], found["status"], found["instance"]) == (reserved["id"], "attached", instance)
    assert f"Instance {instance} uses it since 20" in found["sentence"]
    assert found["host"] is None
    assert f"Instance {instance} on host node uses it" in only(admin, volume_id, "attachment")["sentence"]


def test_an_attachment_that_failed_says_why(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    waiting = manager.soon(manager.fail_all)
    api.ask("POST", "/v3/attachments", {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}})
    waiting.join()
    found = only(api, volume_id, "attachment")
    assert found["status"] == "error_attaching"
    assert "could not be let in" in found["sentence"]
    assert "because of: no space" in found["sentence"]


def test_an_error_names_the_operation_that_failed_and_its_reason(api: Api, manager: PlayedManager) -> None:
    volume_id = create(api)
    (operation,) = manager.live()
    manager.fail_all("the pool is full")
    found = only(api, volume_id, "error")
    assert (found["status"], found["kind"]) == ("error", "volume.create")
    assert (found["operation_id"], found["request_id"]) == (operation.id, operation.request_id)
    assert found["error"]["message"] == "the pool is full"
    assert found["sentence"].endswith("because of: the pool is full.")


def test_a_volume_that_a_foreign_api_tier_left_in_transit_is_told(api: Api, manager: PlayedManager) -> None:
    from sqlalchemy import update

    from volumed.db.tables import volumes

    volume_id = manager.available(api)
    manager._database.write(lambda tx: tx.execute(update(volumes).values(status="deleting")))
    assert "no operation works on it" in only(api, volume_id, "lost")["sentence"]


def test_a_deleted_volume_says_who_deleted_it_while_its_operations_are_kept(
    api: Api, stranger: Api, database: "Database", manager: PlayedManager
) -> None:
    from volumed.db import operations

    volume_id = manager.available(api)
    api.delete(f"/v3/volumes/{volume_id}")
    (operation,) = manager.live()
    assert only(api, volume_id, "operation")["kind"] == "volume.delete"
    manager.finish_all()
    assert why(api, volume_id)["status"] == "deleted"
    found = only(api, volume_id, "deleted")
    assert (found["operation_id"], found["request_id"]) == (operation.id, operation.request_id)
    assert found["sentence"].startswith("It was deleted at 20")
    assert stranger.ask("GET", f"/v3/volumes/{volume_id}/why").status_code == 404
    database.write(operations.prune, -1.0)
    assert api.ask("GET", f"/v3/volumes/{volume_id}/why").status_code == 404


def test_it_is_not_told_to_strangers(api: Api, stranger: Api, admin: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    assert stranger.ask("GET", f"/v3/volumes/{volume_id}/why").status_code == 404
    assert why(admin, volume_id)["status"] == "available"

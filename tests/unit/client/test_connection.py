"""How the client behaves when the connection, the server or the user does not."""

import pytest

from tests.lab.told_server import Told
from tests.unit.client.conftest import Run
from volumed.client.cli import main

ID = "6a1c9a52-95b5-4d27-8f0e-0f3f4a5d0f11"
OPERATION = "0b6a8c6e-38f6-4d5c-9f0c-6fd1c0f1f001"
VOLUME = {
    "id": ID,
    "name": "data",
    "description": None,
    "size": 1,
    "status": "creating",
    "availability_zone": "nova",
    "snapshot_id": None,
    "source_volid": None,
    "metadata": {},
    "created_at": "2026-11-21T12:00:00.000000",
    "attachments": [],
}


def operation(state: str, **fields: object) -> dict[str, object]:
    told = {
        "id": OPERATION,
        "kind": "volume.create",
        "state": state,
        "resource_type": "volume",
        "resource_id": ID,
        "request_id": "req-1",
        "wait_reason": None,
        "error": None,
        "created_at": "2026-11-21T12:00:00.000000",
        "ended_at": "2026-11-21T12:00:00.025000" if state in ("succeeded", "failed") else None,
        "timeline": [],
    }
    return {"operation": told | fields}


def accept_creates(server: Told) -> None:
    server.answer("POST /v3/volumes", {"volume": VOLUME}, 202, Volumed_Operation_Id=OPERATION)
    server.answer(f"GET /v3/volumes/{ID}", {"volume": VOLUME | {"status": "available"}})


def test_without_a_server_the_status_is_3_and_the_reason_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--url", "http://127.0.0.1:1"]) == 3
    assert "127.0.0.1:1 cannot be reached: Connection refused" in capsys.readouterr().err


def test_an_address_that_is_none_is_a_sentence_and_not_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--url", "nonsense"]) == 3
    assert "nonsense cannot be asked" in capsys.readouterr().err


def test_a_refusal_shows_the_servers_sentence_and_the_request_id(server: Told, run: Run) -> None:
    refusal = {"overLimit": {"code": 413, "message": "10 of 10 in use"}}
    server.answer("POST /v3/volumes", refusal, 413, x_openstack_request_id="req-7")
    ended = run("create", "1")
    assert ended.status == 1
    assert ended.err == "volumed: 10 of 10 in use (HTTP 413, req-7)\n"
    assert ended.out == ""


def test_with_json_a_refusal_is_one_document_too(server: Told, run: Run) -> None:
    server.answer("POST /v3/volumes", {"overLimit": {"code": 413, "message": "full"}}, 413)
    ended = run("create", "1", "--json")
    assert ended.status == 1
    assert ended.document == {"error": {"code": 413, "message": "full", "request_id": None}}


@pytest.mark.parametrize("content", ["<html>Bad gateway</html>", "", "[]", '{"badGateway": null}'])
def test_an_answer_that_is_not_the_apis_is_still_a_refusal(server: Told, run: Run, content: str) -> None:
    server.answer("GET /v3/volumes/detail", content, 502)
    ended = run("list")
    assert ended.status == 1
    assert "HTTP 502" in ended.err


def test_a_post_whose_answer_was_lost_is_sent_again_with_the_same_key(server: Told, run: Run) -> None:
    server.break_off("POST /v3/volumes")
    accept_creates(server)
    server.answer(f"GET /v3/operations/{OPERATION}", operation("queued"))
    assert run("create", "1").status == 0
    keys = [headers["Idempotency-Key"] for request, headers, _ in server.seen if request == "POST /v3/volumes"]
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_an_answer_that_breaks_off_in_the_middle_is_asked_for_again(server: Told, run: Run) -> None:
    server.answer("GET /v3/volumes/detail", None)
    server.answer("GET /v3/volumes/detail", {"volumes": [VOLUME]})
    assert run("list", "--json").document == {"volumes": [VOLUME]}


def test_a_delete_is_not_sent_twice(server: Told, run: Run) -> None:
    server.answer(f"GET /v3/volumes/{ID}", {"volume": VOLUME})
    server.break_off(f"DELETE /v3/volumes/{ID}")
    assert run("delete", ID).status == 3
    assert sum(request.startswith("DELETE") for request in server.requests()) == 1


def test_wait_goes_on_while_the_server_is_away_and_ends_with_the_operation(server: Told, run: Run) -> None:
    accept_creates(server)
    path = f"GET /v3/operations/{OPERATION}"
    server.answer(path, operation("running", timeline=[{"step": "provision"}]))
    for _ in range(3):
        server.break_off(path)
    server.answer(path, operation("succeeded"))
    ended = run("create", "1", "--wait", "--json")
    assert ended.status == 0
    assert ended.document["operation"]["state"] == "succeeded"
    assert ended.document["volume"]["status"] == "available"
    assert "volume.create running: provision" in ended.err
    assert "waiting for the server" in ended.err


def test_a_failed_operation_is_status_1_with_its_reason(server: Told, run: Run) -> None:
    accept_creates(server)
    error = {"type": "NoValidBackend", "message": "No valid backend was found: 1 pool is too small"}
    server.answer(f"GET /v3/operations/{OPERATION}", operation("failed", error=error))
    ended = run("create", "1", "--wait")
    assert ended.status == 1
    assert "volume.create failed: No valid backend was found: 1 pool is too small" in ended.err


def test_patience_that_ends_is_status_4_and_says_that_the_work_goes_on(server: Told, run: Run) -> None:
    accept_creates(server)
    server.answer(f"GET /v3/operations/{OPERATION}", operation("waiting", wait_reason="no backend reported yet"))
    ended = run("create", "1", "--wait", "--timeout", "0.05")
    assert ended.status == 4
    assert "still volume.create waiting: no backend reported yet" in ended.err


def test_a_gone_volume_is_null_beside_its_operation(server: Told, run: Run) -> None:
    server.answer(f"GET /v3/volumes/{ID}", {"volume": VOLUME})
    server.answer(f"GET /v3/volumes/{ID}", {"itemNotFound": {"code": 404, "message": "gone"}}, 404)
    server.answer(f"DELETE /v3/volumes/{ID}", "", 202, Volumed_Operation_Id=OPERATION)
    server.answer(f"GET /v3/operations/{OPERATION}", operation("succeeded", kind="volume.delete"))
    ended = run("delete", ID, "--wait", "--json")
    assert ended.status == 0
    assert ended.document["volume"] is None


def test_a_list_follows_its_pages_to_the_end(server: Told, run: Run) -> None:
    page = "GET /v3/volumes/detail"
    more = [{"rel": "next", "href": "anywhere"}]
    server.answer(page, {"volumes": [VOLUME | {"id": "1"}, VOLUME | {"id": "2"}], "volumes_links": more})
    server.answer(page, {"volumes": [VOLUME | {"id": "3"}]})
    assert [row["id"] for row in run("list", "--json").document["volumes"]] == ["1", "2", "3"]
    assert "marker=2" in server.requests()[1]


def test_a_name_of_several_volumes_is_refused_with_their_ids(server: Told, run: Run) -> None:
    server.answer("GET /v3/volumes/detail", {"volumes": [VOLUME | {"id": "1"}, VOLUME | {"id": "2"}]})
    ended = run("show", "data")
    assert ended.status == 1
    assert "several volumes are named 'data', give an id: 1, 2" in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ("create",),
        ("create", "0"),
        ("create", "1.5"),
        ("create", "-1"),
        ("create", "\u0661"),
        ("create", "1", "--snapshot", "a", "--source", "b"),
        ("create", "1", "--metadata", "novalue"),
        ("create", "1", "--wait", "--timeout", "nan"),
        ("extend", "data"),
        ("list", "--limit", "0"),
        ("attach", "data", "--show-secret", "--secret-file", "x"),
        ("operations", "list", "--state", "lost"),
        ("nonsense",),
        (),
    ],
)
def test_wrong_usage_is_status_2_and_asks_nothing(server: Told, run: Run, words: tuple[str, ...]) -> None:
    ended = run(*words)
    assert ended.status == 2
    assert ended.err
    assert server.seen == []


def test_help_and_usage_do_not_load_the_http_library() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from volumed.client.cli import build_parser; build_parser().format_help();"
        "print([name for name in ('requests', 'rich', 'sqlalchemy', 'oslo_config') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

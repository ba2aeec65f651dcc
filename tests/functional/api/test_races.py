"""Two requests at once: one wins, the other is told, and the rows agree."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.api.stage import CONNECTOR, Api, PlayedManager, Recorder
from volumed.db.engine import Database
from volumed.model.errors import ServiceUnavailable


def at_once(*requests: Callable[[], Any]) -> Counter[int]:
    """The codes of the answers to requests that are sent together."""
    codes: list[int] = []
    gate = threading.Barrier(len(requests))

    def send(request: Callable[[], Any]) -> None:
        gate.wait()
        codes.append(request().status_code)

    threads = [threading.Thread(target=send, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(codes)


def test_the_last_gigabytes_are_given_once(api: Api, admin: Api, manager: PlayedManager) -> None:
    admin.put("/v3/os-quota-sets/p1", {"quota_set": {"gigabytes": 5}})
    create = lambda: api.ask("POST", "/v3/volumes", {"volume": {"size": 2}})  # noqa: E731
    assert at_once(*[create] * 8) == {202: 2, 413: 6}
    assert len(manager.live()) == 2


def test_the_first_requests_of_a_project_make_its_quota_rows_once(api: Api, manager: PlayedManager) -> None:
    create = lambda: api.ask("POST", "/v3/volumes", {"volume": {"size": 1}})  # noqa: E731
    assert at_once(*[create] * 8) == {202: 8}
    assert api.get("/v3/limits")["limits"]["absolute"]["totalVolumesUsed"] == 8


def test_two_deletes_are_one(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    assert at_once(*[lambda: api.ask("DELETE", f"/v3/volumes/{volume_id}")] * 6) == {202: 6}
    assert [operation.kind for operation in manager.live()] == ["volume.delete"]


def test_extend_and_snapshot_do_not_meet(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    codes = at_once(
        lambda: api.ask("POST", f"/v3/volumes/{volume_id}/action", {"os-extend": {"new_size": 2}}),
        lambda: api.ask("POST", "/v3/snapshots", {"snapshot": {"volume_id": volume_id}}),
    )
    assert codes == {202: 1, 400: 1}
    assert len(manager.live()) == 1


def test_delete_and_clone_do_not_meet(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    codes = at_once(
        lambda: api.ask("DELETE", f"/v3/volumes/{volume_id}"),
        lambda: api.ask("POST", "/v3/volumes", {"volume": {"source_volid": volume_id}}),
    )
    assert codes == {202: 1, 400: 1}


def test_one_of_two_attaches_wins(api: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    codes = at_once(
        *(
            lambda: api.ask("POST", "/v3/attachments", {"attachment": {"volume_uuid": volume_id}}),
            lambda: api.ask("POST", "/v3/attachments", {"attachment": {"volume_uuid": volume_id}}),
        )
    )
    assert codes == {200: 1, 400: 1}


def test_many_waiters_are_told_by_one_thread(api: Api, manager: PlayedManager) -> None:
    volume_ids = [manager.available(api) for _ in range(6)]
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.01):
            manager.finish_all()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        connect = [
            (lambda body: lambda: api.ask("POST", "/v3/attachments", body))(
                {"attachment": {"volume_uuid": each, "connector": CONNECTOR}}
            )
            for each in volume_ids
        ]
        assert at_once(*connect) == {200: 6}
        pollers = [thread for thread in threading.enumerate() if thread.name == "ends of operations"]
        assert len(pollers) <= 1
    finally:
        stop.set()
        worker.join()


def test_without_a_database_it_says_so(api: Api, database: Database, tmp_path: Path) -> None:
    database.close()
    for path in tmp_path.glob("volumed.db*"):
        path.unlink()
    tmp_path.joinpath("volumed.db").mkdir()
    for method, path, body in (
        ("GET", "/v3/volumes", None),
        ("POST", "/v3/volumes", {"volume": {"size": 1}}),
        ("GET", "/healthcheck", None),
    ):
        answer = api.ask(method, path, body)
        assert answer.status_code == 503, answer.text
    assert api.ask("GET", "/v3/volumes").headers["Retry-After"]
    assert api.ask("GET", "/v3/volumes").json["serviceUnavailable"]["code"] == 503


def test_without_a_scheduler_pools_are_not_known(
    admin: Api, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*args: Any, **more: Any) -> Any:
        raise ServiceUnavailable(reason="volumed-scheduler does not answer")

    monkeypatch.setattr(recorder, "call", absent)
    answer = admin.ask("GET", "/v3/scheduler-stats/get_pools")
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)

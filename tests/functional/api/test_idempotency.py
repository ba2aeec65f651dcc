"""A request with an Idempotency-Key is carried out once, however often it is sent."""

import threading
from typing import Any

import pytest
from sqlalchemy import func, select, update

from tests.functional.api.stage import Api, PlayedManager
from volumed.db import idempotency
from volumed.db.engine import Database
from volumed.db.tables import idempotency_keys, volumes


def count(database: Database) -> int:
    with database.reading() as tx:
        return tx.execute(select(func.count()).select_from(volumes)).scalar_one()


def test_a_repeat_is_answered_from_the_resource(api: Api, database: Database, manager: PlayedManager) -> None:
    body = {"volume": {"size": 1, "name": "once"}}
    first = api.ask("POST", "/v3/volumes", body, Idempotency_Key="k1")
    manager.finish_all()
    again = api.ask("POST", "/v3/volumes", body, Idempotency_Key="k1")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json["volume"]["id"] == first.json["volume"]["id"]
    assert again.json["volume"]["status"] == "available"
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert count(database) == 1


def test_another_body_under_the_same_key_is_refused(api: Api, database: Database) -> None:
    api.post("/v3/volumes", {"volume": {"size": 1}}, Idempotency_Key="k")
    told = api.post("/v3/volumes", {"volume": {"size": 2}}, 422, Idempotency_Key="k")
    assert "used before" in told["unprocessableEntity"]["message"]
    assert count(database) == 1


def test_keys_belong_to_a_user(api: Api, stranger: Api, database: Database) -> None:
    for client in (api, stranger):
        client.post("/v3/volumes", {"volume": {"size": 1}}, Idempotency_Key="k")
    assert count(database) == 2


def test_a_request_that_was_refused_leaves_its_key_free(api: Api, admin: Api) -> None:
    admin.put("/v3/os-quota-sets/p1", {"quota_set": {"volumes": 0}})
    api.post("/v3/volumes", {"volume": {"size": 1}}, 413, Idempotency_Key="k")
    admin.put("/v3/os-quota-sets/p1", {"quota_set": {"volumes": 1}})
    api.post("/v3/volumes", {"volume": {"size": 1}}, 202, Idempotency_Key="k")


def test_one_of_many_at_once_is_carried_out(api: Api, database: Database) -> None:
    answers: list[Any] = []

    def send() -> None:
        answers.append(api.ask("POST", "/v3/volumes", {"volume": {"size": 1}}, Idempotency_Key="k"))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json["volume"]["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 7
    assert count(database) == 1


def test_every_post_knows_the_key(api: Api, admin: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    metadata = {"metadata": {"a": "b"}}
    kind = {"volume_type": {"name": "gold"}}
    specs = f"/v3/types/{admin.post('/v3/types', kind, 200)['volume_type']['id']}/extra_specs"
    for client, path, body, status in (
        (api, f"/v3/volumes/{volume_id}/metadata", metadata, 200),
        (api, "/v3/snapshots", {"snapshot": {"volume_id": volume_id}}, 202),
        (api, f"/v3/volumes/{volume_id}/action", {"os-extend": {"new_size": 7}}, 202),
        (admin, "/v3/types", {"volume_type": {"name": "silver"}}, 200),
        (admin, specs, {"extra_specs": {"a": "b"}}, 200),
    ):
        first = client.ask("POST", path, body, Idempotency_Key="k-" + path)
        assert first.status_code == status, first.text
        again = client.ask("POST", path, body, Idempotency_Key="k-" + path)
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (status, "true"), path
        assert (again.json if again.content else None) == (first.json if first.content else None)
        manager.finish_all()
    assert api.volume(volume_id)["size"] == 7


@pytest.mark.parametrize("key", ["", "x" * 192, "a b", "é"])
def test_a_key_has_a_form(api: Api, key: str) -> None:
    api.post("/v3/volumes", {"volume": {"size": 1}}, 400, Idempotency_Key=key)


def test_a_key_expires_and_is_pruned(api: Api, database: Database) -> None:
    body = {"volume": {"size": 1}}
    for key in ("k1", "k2"):
        api.post("/v3/volumes", body, Idempotency_Key=key)
    day = 86_400 * 1_000_000
    database.write(
        lambda tx: tx.execute(update(idempotency_keys).values(created_at=idempotency_keys.c.created_at - day))
    )
    fresh = api.ask("POST", "/v3/volumes", body, Idempotency_Key="k1")
    assert "Idempotency-Replayed" not in fresh.headers
    assert count(database) == 3
    assert database.write(idempotency.prune, 86_400.0) == 1
    assert database.write(idempotency.prune, 86_400.0) == 0


def test_the_answer_to_a_repeat_says_when_its_volume_is_gone(api: Api, manager: PlayedManager) -> None:
    body = {"volume": {"size": 1}}
    volume_id = api.post("/v3/volumes", body, Idempotency_Key="k")["volume"]["id"]
    manager.finish_all()
    api.delete(f"/v3/volumes/{volume_id}")
    manager.finish_all()
    assert volume_id in api.post("/v3/volumes", body, 404, Idempotency_Key="k")["itemNotFound"]["message"]

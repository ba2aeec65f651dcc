"""What a request costs: statements, whatever the machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from tests.functional.api.stage import Api, PlayedManager
from volumed.db.engine import Database


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield statements
    event.remove(database.engine, "before_cursor_execute", note)


def test_a_create_is_six_statements(api: Api, database: Database) -> None:
    api.post("/v3/volumes", {"volume": {"size": 1}})
    with counted(database) as statements:
        api.post("/v3/volumes", {"volume": {"size": 1}})
    kinds = [statement.split()[0] for statement in statements]
    assert kinds == ["SELECT", "UPDATE", "INSERT", "SELECT", "INSERT", "INSERT"], statements


def test_a_key_costs_one_statement_more(api: Api, database: Database) -> None:
    api.post("/v3/volumes", {"volume": {"size": 1}})
    with counted(database) as statements:
        api.post("/v3/volumes", {"volume": {"size": 1}}, Idempotency_Key="k")
    assert len(statements) == 7


@pytest.mark.parametrize("path", ["/v3/volumes/detail", "/v3/snapshots/detail", "/v3/attachments/detail"])
def test_a_list_costs_the_same_for_many(api: Api, database: Database, manager: PlayedManager, path: str) -> None:
    costs = []
    for _ in range(2):
        volume_id = manager.available(api)
        manager.snapshot(api, volume_id)
        api.post("/v3/attachments", {"attachment": {"volume_uuid": volume_id}}, 200)
        with counted(database) as statements:
            api.get(path)
        costs.append(len(statements))
    assert costs[0] == costs[1] <= 3

"""Pages: whatever is sorted and filtered, the pages one after another are the whole list."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from tests.functional.api.stage import Api
from volumed.db import volume_types
from volumed.db.engine import Database
from volumed.db.tables import volumes

KEYS = ("created_at", "updated_at", "name", "size", "status", "id", "availability_zone", "bootable", "launched_at")

_ROW = st.fixed_dictionaries(
    {
        "name": st.sampled_from([None, "", "a", "b", "B", "ä", "a%b"]),
        "size": st.integers(1, 3),
        "status": st.sampled_from(["available", "error", "in-use"]),
        "created_at": st.integers(1, 4),
        "launched_at": st.none() | st.integers(0, 3),
        "bootable": st.booleans(),
    }
)
_ORDER = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(["asc", "desc", ""])), max_size=3)


def write(database: Database, rows: list[dict[str, Any]], project_id: str = "p1") -> None:
    """Put volumes into the table as they are."""

    def work(tx: Any) -> None:
        tx.execute(volumes.delete())
        kind = volume_types.get(tx, "__DEFAULT__").id
        common = {
            "project_id": project_id,
            "user_id": "alice",
            "availability_zone": "nova",
            "volume_type_id": kind,
            "multiattach": False,
            "metadata": {},
            "facts": {},
            "updated_at": 1,
        }
        made = [common | row | {"id": str(UUID(int=number))} for number, row in enumerate(rows)]
        for start in range(0, len(made), 5000):
            tx.execute(insert(volumes), made[start : start + 5000])

    database.write(work)


def walk(api: Api, path: str) -> list[str]:
    """The ids of every page, following the links as a client does."""
    found: list[str] = []
    while True:
        page = api.get(path)
        found += [each["id"] for each in page["volumes"]]
        following = page.get("volumes_links")
        if following is None:
            return found
        url = urlsplit(following[0]["href"])
        path = f"{url.path}?{url.query}"
        assert dict(parse_qsl(url.query))["marker"] == found[-1]


@given(rows=st.lists(_ROW, max_size=12), order=_ORDER, limit=st.integers(1, 5), status=st.none() | st.just("error"))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_pages_are_the_list(
    api: Api,
    database: Database,
    rows: list[dict[str, Any]],
    order: list[tuple[str, str]],
    limit: int,
    status: str | None,
) -> None:
    write(database, rows)
    asked = ",".join(f"{key}:{way}" if way else key for key, way in order)
    query = (f"sort={asked}&" if asked else "") + (f"status={status}&" if status else "")
    whole = [each["id"] for each in api.get(f"/v3/volumes?{query}")["volumes"]]
    assert walk(api, f"/v3/volumes?{query}limit={limit}") == whole
    assert sorted(whole) == sorted(
        str(UUID(int=number)) for number, row in enumerate(rows) if status in {None, row["status"]}
    )


def test_the_newest_come_first_and_the_last_page_has_no_link(api: Api, database: Database) -> None:
    write(database, [{"size": 1, "status": "available", "bootable": False, "created_at": at} for at in range(4)])
    page = api.get("/v3/volumes/detail?limit=2")
    assert [each["id"] for each in page["volumes"]] == [str(UUID(int=3)), str(UUID(int=2))]
    second = api.get(f"/v3/volumes/detail?limit=2&marker={UUID(int=2)}")
    assert [each["id"] for each in second["volumes"]] == [str(UUID(int=1)), str(UUID(int=0))]
    assert "volumes_links" not in second
    assert [each["id"] for each in api.get("/v3/volumes?offset=3")["volumes"]] == [str(UUID(int=0))]
    assert api.get("/v3/volumes?limit=1&with_count=true")["count"] == 4
    assert "count" not in api.at("3.44").get("/v3/volumes?with_count=true")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        *(("name=red", [0]), ("name~=re", [0, 1]), ("name~=%25", [3]), ("status=error", [1])),
        *(("size=2", [1]), ("bootable=true", [2]), ("bootable=f", [0, 1, 3]), ("metadata={'k':'v'}", [2])),
        *(('metadata={"k":"w"}', []), ("created_at=gt:1970-01-01T00:00:02", [3]), ("group_id=x", [])),
        *(("created_at=gte:1970-01-01T00:00:01,lt:1970-01-01T00:00:02", [1]), ("consumes_quota=false", [])),
        *(
            ("availability_zone=nova&size=1", [0, 2, 3]),
            (f"id={UUID(int=2)}", [2]),
            ("consumes_quota=true&size=2", [1]),
        ),
    ],
)
def test_filters(api: Api, database: Database, query: str, expected: list[int]) -> None:
    rows: list[dict[str, Any]] = [
        {"name": "red", "size": 1, "status": "available", "bootable": False, "created_at": 0},
        {"name": "green", "size": 2, "status": "error", "bootable": False, "created_at": 1_000_000},
        {
            "name": None,
            "size": 1,
            "status": "in-use",
            "bootable": True,
            "created_at": 2_000_000,
            "metadata": {"k": "v"},
        },
        {"name": "a%b", "size": 1, "status": "in-use", "bootable": False, "created_at": 3_000_000},
    ]
    write(database, [{"metadata": {}} | row for row in rows])
    found = api.get(f"/v3/volumes?{query.replace('+', '%2B')}&sort=created_at:asc")["volumes"]
    assert [UUID(each["id"]).int for each in found] == expected


def test_a_page_of_a_large_table_is_read_by_an_index(api: Api, database: Database) -> None:
    """What the database plans is what it costs: no page may sort or scan the table."""
    plans: list[str] = []
    write(database, [{"size": 1, "status": "available", "bootable": False, "created_at": at} for at in range(2000)])

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "FROM volumes" in statement and "ORDER BY" in statement:
            rows = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in rows)

    from sqlalchemy import event

    event.listen(database.engine, "before_cursor_execute", explain)
    api.get("/v3/volumes?limit=10")
    api.get(f"/v3/volumes/detail?limit=10&marker={UUID(int=900)}")
    api.as_user("admin:p1").get(f"/v3/volumes?limit=10&all_tenants=1&marker={UUID(int=900)}")
    event.remove(database.engine, "before_cursor_execute", explain)
    steps = [plan for plan in plans if "volumes" in plan or "SORT" in plan.upper() or "B-TREE" in plan.upper()]
    assert steps
    for step in steps:
        assert "created_at" in step, plans

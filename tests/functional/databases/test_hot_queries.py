"""What services ask and write again and again reads no table from end to end: each plan says so, with filled tables."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text, update

from tests.lab import databases
from volumed.db import (
    attachments,
    events,
    holds,
    idempotency,
    leaders,
    operations,
    placements,
    pools,
    progress,
    quotas,
    services,
    snapshots,
    tables,
    volumes,
)
from volumed.db.clock import SECOND
from volumed.db.engine import Database
from volumed.db.events import Wanted
from volumed.db.idempotency import KeyOwner, Remembered
from volumed.db.operations import NewOperation
from volumed.db.pages import Listing

#: Rows of each table; a few hundred more or less are no reason for a planner to read them all.
ROWS = 4000
#: One in so many operations is live, on one of so many backends, projects and volumes.
LIVE, BACKENDS, PROJECTS, VOLUMES = 100, 20, 50, 1000

OWNER = KeyOwner("project-1", "user", "key-1")


def key(kind: str, number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}{number}"))


def project(number: int) -> str:
    return f"project-{number % PROJECTS}"


def times(number: int) -> dict[str, int]:
    return {"created_at": number * SECOND, "updated_at": number * SECOND}


def a_volume(number: int) -> dict[str, Any]:
    placed = f"node{number % BACKENDS}@disk#pool"
    return times(number) | {
        "id": key("volume", number),
        "project_id": project(number),
        "user_id": "user",
        "size": 1,
        "status": "creating" if number % LIVE == 0 else "available",
        "availability_zone": "nova",
        "volume_type_id": "type",
        "host": None if number % (2 * LIVE) == 0 else placed,
        "storage_id": f"storage-{number % BACKENDS}",
        "bootable": False,
        "multiattach": False,
        "metadata": {},
        "facts": {},
    }


def an_operation(number: int) -> dict[str, Any]:
    live = number % LIVE == 0
    return times(number) | {
        "id": key("operation", number),
        "kind": "volume.create",
        "resource_type": "volume",
        "resource_id": key("volume", number % VOLUMES),
        "volume_id": key("volume", number % VOLUMES),
        "source_id": key("volume", number % 7) if number % 3 == 0 else None,
        "project_id": project(number),
        "user_id": "user",
        "request_id": "req-1",
        "queue": "scheduler" if number % (2 * LIVE) == 0 else f"node{number % BACKENDS}@disk",
        "state": "queued" if live else "succeeded",
        "lane": "short",
        "live_key": key("live", number) if live else None,
        "epoch": 1,
        "attempt": 0,
        "claims": 0,
        "cancel_requested": False,
        "args": {},
        "tried": [],
        "timeline": [],
        "not_before": 0,
        "ended_at": None if live else number * SECOND,
    }


def an_event(number: int) -> dict[str, Any]:
    return {
        "resource_type": "volume",
        "resource_id": key("volume", number % VOLUMES),
        "sequence": number // VOLUMES + 1,
        "project_id": project(number),
        "event_type": "volume.create.start",
        "operation_id": key("operation", number),
        "payload": {},
        "created_at": number * SECOND,
        "published": number < ROWS - 20,
        "position": number + 1 if number < ROWS - 10 else None,
    }


def a_snapshot(number: int) -> dict[str, Any]:
    return times(number) | {
        "id": key("snapshot", number),
        "project_id": project(number),
        "user_id": "user",
        "volume_id": key("volume", number % VOLUMES),
        "size": 1,
        "status": "available",
        "volume_type_id": "type",
        "metadata": {},
        "facts": {},
    }


def an_attachment(number: int) -> dict[str, Any]:
    return times(number) | {
        "id": key("attachment", number),
        "project_id": project(number),
        "user_id": "user",
        "volume_id": key("volume", number % VOLUMES),
        "instance_uuid": key("instance", number),
        "attach_status": "attached",
        "attach_mode": "rw",
    }


def a_quota(number: int) -> dict[str, Any]:
    return {"project_id": f"project-{number // 4}", "resource": f"r{number % 4}", "in_use": 0, "updated_at": 0}


def an_idempotency_key(number: int) -> dict[str, Any]:
    values = {"project_id": project(number), "user_id": "user", "key": f"key-{number}", "request_hash": "h"}
    return values | {"status": 202, "resource_type": "volume", "resource_id": "v", "created_at": number * SECOND}


def a_pool(number: int) -> dict[str, Any]:
    return {"storage_id": f"storage-{number}", "allocated": 0, "volumes": 0, "updated_at": 0}


FILLED: dict[str, Callable[[int], dict[str, Any]]] = {
    "volumes": a_volume,
    "operations": an_operation,
    "events": an_event,
    "snapshots": a_snapshot,
    "attachments": an_attachment,
    "quotas": a_quota,
    "idempotency_keys": an_idempotency_key,
    "pools": a_pool,
}


def filled(database: Database, kind: str) -> None:
    with database.engine.begin() as tx:
        kind_of = {"id": "type", "name": "standard", "is_public": True, "extra_specs": {}} | times(0)
        tx.execute(insert(tables.volume_types), kind_of)
        for name, row in FILLED.items():
            tx.execute(insert(tables.METADATA.tables[name]), [row(number) for number in range(ROWS)])
        tx.execute(update(tables.event_positions).values(last=ROWS - 10))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as tx:
        tx.execute(text("ANALYZE" if kind == "postgresql" else f"ANALYZE TABLE {', '.join(FILLED)}"))


def new_operation() -> NewOperation:
    new = str(uuid.uuid4())
    return NewOperation(new, "volume.extend", "volume", new, new, "project-1", "user", "req-1", "node1@disk")


def claimed_and_ended(tx: Connection) -> None:
    new = new_operation()
    operations.add(tx, new)
    claimed = operations.claim(tx, new.id, new.queue, "worker", str(uuid.uuid4()))
    assert claimed is not None
    operations.note(tx, claimed, [])
    operations.succeed(tx, claimed, [])


def placed(tx: Connection) -> None:
    placements.to_place(tx, key("operation", 0))
    operations.place(tx, key("operation", 0), 0, "node1@disk", {})
    pools.allocate(tx, "storage-1", 1, 100, "node1@disk")


def all_but_oldest() -> float:
    """Seconds of retention that only the first rows are older than."""
    return time.time() - 20


VOLUME = key("volume", 3)

HOT: dict[str, Callable[[Connection], object]] = {
    "claim, note and end": claimed_and_ended,
    "placement": placed,
    "sweep": lambda tx: operations.due(tx, "node1@disk", "worker", 2.0),
    "sweep of the scheduler": lambda tx: operations.due(tx, "scheduler", "worker", 2.0),
    "lost creates": lambda tx: placements.unplaced_volumes(tx, 10.0),
    "lost messages": lambda tx: volumes.in_transit_without_operation(tx, "node1@disk", 10.0),
    "stranded creates": lambda tx: placements.stranded(tx, ["node1@disk", "node2@disk"]),
    "live in a queue": lambda tx: operations.live_in(tx, "node1@disk"),
    "what is live on it": lambda tx: operations.live_on(tx, VOLUME),
    "who reads it": lambda tx: operations.holders_of(tx, VOLUME),
    "what follows it": lambda tx: operations.successor_of(tx, key("operation", 3)),
    "ends": lambda tx: operations.states_of(tx, [key("operation", 3), key("operation", 4)]),
    "ends of all": lambda tx: progress.ended_since(tx, ((ROWS - 20) * SECOND, ""), 10),
    "history of a volume": lambda tx: operations.of_volume(tx, VOLUME, 20),
    "holds of a volume": lambda tx: holds.of_volume(tx, VOLUME),
    "pruning of operations": lambda tx: operations.prune(tx, all_but_oldest(), 20),
    "page of operations": lambda tx: operations.page(tx, Listing("project-3", 20)),
    "page of all operations": lambda tx: operations.page(tx, Listing(None, 20, marker=key("operation", 900))),
    "volume": lambda tx: volumes.get_typed(tx, VOLUME),
    "lock of a volume": lambda tx: volumes.touch(tx, VOLUME),
    "page of volumes": lambda tx: volumes.page(tx, Listing("project-3", 20)),
    "next page of volumes": lambda tx: volumes.page(tx, Listing("project-3", 20, marker=VOLUME)),
    "page of all volumes": lambda tx: volumes.page(tx, Listing(None, 20, marker=VOLUME)),
    "allocation of a storage": lambda tx: volumes.allocation_of(tx, "storage-3"),
    "sums of a project": lambda tx: volumes.sums(tx, "project-3"),
    "snapshots of a volume": lambda tx: snapshots.of_volume(tx, VOLUME),
    "page of snapshots": lambda tx: snapshots.page(tx, Listing("project-3", 20)),
    "attachments of volumes": lambda tx: attachments.of_volumes(tx, [VOLUME, key("volume", 4)]),
    "page of attachments": lambda tx: attachments.page(tx, Listing("project-3", 20)),
    "event": lambda tx: events.add(tx, "volume", VOLUME, "project-3", "volume.create.end", {}),
    "events to publish": lambda tx: events.unpublished(tx, 20),
    "published events": lambda tx: events.mark_published(tx, [ROWS - 3, ROWS - 2]),
    "pruning of events": lambda tx: events.prune(tx, all_but_oldest(), 20),
    "unnumbered events": events.are_unnumbered,
    "numbering of events": lambda tx: events.number(tx, 5),
    "events of an operation": lambda tx: events.of_operations(tx, [key("operation", 3)], 10),
    "stream": lambda tx: events.behind(tx, Wanted(), ROWS - 30, ROWS - 10, 20),
    "stream of a project": lambda tx: events.behind(tx, Wanted(project_id="project-3"), 2000, ROWS - 10, 20),
    "quota": lambda tx: quotas.change(tx, "project-3", {"r1": 1, "r2": 3}, {"r1": 10, "r2": 100}),
    "quota given back": lambda tx: quotas.adjust(tx, "project-3", {"r1": -1, "r2": -3}),
    "key": lambda tx: idempotency.add(tx, KeyOwner("project-1", "user", "new"), Remembered("h", 202, "volume", "v")),
    "known key": lambda tx: idempotency.find(tx, OWNER),
    "pruning of keys": lambda tx: idempotency.prune(tx, all_but_oldest(), 20),
    "allocations": lambda tx: pools.allocations(tx, ["storage-1", "storage-2"]),
    "leader": lambda tx: leaders._lead(tx, "task", "holder", 10),
    "turn": lambda tx: leaders._take_turn(tx, "task", "holder", 10),
    "report": lambda tx: services.report(tx, "volumed-volume", "node1@disk", "incarnation", "up", None),
}


@pytest.fixture(scope="module", params=databases.SERVER_KINDS)
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with databases.with_schema(request.param, tmp_path_factory.mktemp("databases")) as url:
        database = Database(url)
        filled(database, request.param)
        yield database
        database.close()


def statements_of(tx: Connection, work: Callable[[Connection], object]) -> list[tuple[str, Any]]:
    """What ``work`` runs; a statement of many rows with the first of them."""
    told: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        told.append((statement, parameters[0] if executemany else parameters))

    event.listen(tx, "before_cursor_execute", note)
    try:
        work(tx)
    finally:
        event.remove(tx, "before_cursor_execute", note)
    return told


def scans(tx: Connection, statement: str, parameters: Any) -> list[str]:
    """The lines of the plan that read a whole table, or a whole index, of those that grow; an INSERT reads no rows."""
    plan = tx.exec_driver_sql(f"EXPLAIN {statement}", parameters)
    if tx.dialect.name == "postgresql":
        lines = [str(row[0]) for row in plan]
        return [line for line in lines if any(f"Seq Scan on {table} " in f"{line} " for table in FILLED)]
    rows = [row._asdict() for row in plan]
    return [
        str(row)
        for row in rows
        if row["table"] in FILLED and row["rows"] and row["type"] in {"ALL", "index"} and not _is_short(row)
    ]


def _is_short(row: dict[str, Any]) -> bool:
    """MariaDB walks an index in its order for the first rows of a page; ``rows`` says how many it means to read."""
    return row["type"] == "index" and int(row["rows"]) <= ROWS // 4


@pytest.mark.parametrize("query", HOT)
def test_a_hot_query_reads_no_table_from_end_to_end(full: Database, query: str) -> None:
    with full.engine.connect() as tx:
        found = [
            f"{statement} {parameters}: {line}"
            for statement, parameters in statements_of(tx, HOT[query])
            if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))
            for line in scans(tx, statement, parameters)
        ]
        tx.rollback()
    assert found == []

"""What services ask again and again must not read what has ended: the plans say which index serves."""

from sqlalchemy import event

from tests.lab import databases
from volumed.db import events, holds, operations, volumes
from volumed.db.engine import Database
from volumed.db.events import Wanted

pytestmark = databases.only("sqlite")


def plans(database: Database, ask) -> list[str]:
    statements = []

    def note(connection, cursor, statement, parameters, context, executemany):
        statements.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    with database.reading() as tx:
        ask(tx)
        event.remove(database.engine, "before_cursor_execute", note)
        return [
            " ".join(str(row[3]) for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters))
            for statement, parameters in statements
            if statement.startswith("SELECT")
        ]


def test_the_sweep_looks_only_at_what_is_live(database: Database) -> None:
    (plan,) = plans(database, lambda tx: operations.due(tx, "node@disk", "worker-1", 2.0))
    assert "ix_operations_queue_state_updated_at (queue=? AND state=?" in plan


def test_lost_volumes_are_found_by_status(database: Database) -> None:
    (plan,) = plans(database, lambda tx: volumes.in_transit_without_operation(tx, "node@disk", 10.0))
    assert "ix_volumes_status_updated_at (status=? AND updated_at<?)" in plan
    assert "SCAN" not in plan


def test_the_stream_reads_only_what_is_behind_its_reader(database: Database) -> None:
    everything, own = Wanted(), Wanted(project_id="p")
    for wanted, index in (
        (everything, "ix_events_position ("),
        (own, "ix_events_project_id_position (project_id=? AND "),
    ):
        (plan,) = plans(database, lambda tx, wanted=wanted: events.behind(tx, wanted, 5, 9, 100))
        assert index in plan
        assert "SCAN" not in plan
        assert "TEMP B-TREE" not in plan
    (plan,) = plans(database, events.are_unnumbered)
    assert "ix_events_position (position=?)" in plan


def test_what_holds_a_volume_is_found_by_its_id_and_its_snapshots(database: Database) -> None:
    told = plans(database, lambda tx: holds.of_volume(tx, "v"))
    assert any("ix_operations_source_id_live_key (source_id=?" in plan for plan in told)
    assert any("ix_operations_volume_id_created_at (volume_id=?)" in plan for plan in told)
    assert any("ix_operations_resource_id_created_at (resource_id=?)" in plan for plan in told)
    assert [plan for plan in told if "SCAN" in plan and "services" not in plan] == []

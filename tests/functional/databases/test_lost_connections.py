"""A connection that is lost, at the COMMIT or anywhere: nothing is done twice, and the caller is told the truth."""

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from tests.lab import databases
from tests.lab.cutting_proxy import CuttingProxy
from volumed.db import connecting, engine, events, migrate, operations, pools, quotas, volume_types
from volumed.db.engine import Database
from volumed.db.operations import NewOperation
from volumed.model.errors import LostHold, QuotaExceeded, ServiceUnavailable
from volumed.model.records import Operation

MOMENTS = ["before", "after"]
QUEUE = "node@disk"


def new_operation(queue: str = QUEUE) -> NewOperation:
    resource = str(uuid.uuid4())
    return NewOperation(str(uuid.uuid4()), "volume.create", "volume", resource, resource, "p", "u", "req-1", queue)


def found(database: Database, operation_id: str) -> Operation:
    with database.reading() as tx:
        return operations.get(tx, operation_id)


def accept(tx: Connection, new: NewOperation) -> str:
    """As a request is accepted: quota, event, operation."""
    quotas.change(tx, "p", {"volumes": 1}, {"volumes": 1})
    operations.add(tx, new)
    events.add(tx, "volume", new.resource_id, "p", "volume.create.start", {}, new.id)
    return new.id


def count(database: Database, table: str) -> int:
    with database.reading() as tx:
        return int(tx.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_request_whose_commit_is_cut_is_accepted_once(
    database: Database, direct: Database, proxy: CuttingProxy, moment: str
) -> None:
    """The quota allows one: a second run after a commit that was done would be refused."""
    direct.write(quotas.adjust, "p", {"volumes": 0})
    new = new_operation()
    proxy.cut_next_commit(moment)
    assert database.write(accept, new) == new.id
    assert proxy.cuts == 1
    assert (count(direct, "operations"), count(direct, "events")) == (1, 1)
    with direct.reading() as tx:
        assert quotas.usage(tx, "p", {"volumes": 0}, {})["volumes"][0] == 1
    with pytest.raises(QuotaExceeded):
        database.write(accept, new_operation())


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_claim_whose_commit_is_cut_is_had_by_who_made_it(
    database: Database, direct: Database, proxy: CuttingProxy, moment: str
) -> None:
    new = new_operation()
    direct.write(operations.add, new)
    proxy.cut_next_commit(moment)
    claimed = database.write(operations.claim, new.id, QUEUE, "worker", str(uuid.uuid4()))
    assert claimed is not None
    assert (claimed.state, claimed.epoch, claimed.claims) == ("running", 1, 1)
    assert found(direct, new.id).epoch == 1
    assert direct.write(operations.claim, new.id, QUEUE, "worker", str(uuid.uuid4())) is None


#: How a worker's transaction may leave its operation.
WRITES: dict[str, Callable[[Connection, Operation], None]] = {
    "succeeded": lambda tx, operation: operations.succeed(tx, operation, []),
    "failed": lambda tx, operation: operations.fail(tx, operation, {"message": "no"}, []),
    "waiting": lambda tx, operation: operations.wait(tx, operation, "busy", 60, []),
    "undoing": lambda tx, operation: operations.begin_undo(tx, operation, {"message": "no"}, []),
    "running": lambda tx, operation: operations.note(tx, operation, []),
    "queued": lambda tx, operation: operations.requeue(tx, operation, "scheduler", [], {}, []),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("state", WRITES)
def test_what_a_worker_writes_is_written_once_and_the_worker_knows_it(
    database: Database, direct: Database, proxy: CuttingProxy, moment: str, state: str
) -> None:
    new = new_operation()
    direct.write(operations.add, new)
    direct.write(pools.ensure, "storage")
    claimed = direct.write(operations.claim, new.id, QUEUE, "worker", str(uuid.uuid4()))
    assert claimed is not None
    if state == "queued":
        direct.write(operations.begin_undo, claimed, {"message": "no"}, [])

    def end(tx: Connection) -> str:
        WRITES[state](tx, claimed)
        pools.adjust(tx, "storage", 1, 1)
        return "done"

    proxy.cut_next_commit(moment)
    assert database.write(end) == "done"
    assert proxy.cuts == 1
    assert found(direct, new.id).state == state
    assert found(direct, new.id).attempt == (1 if state == "queued" else 0)
    with direct.reading() as tx:
        assert pools.allocations(tx)["storage"] == (1, 1)
    if state not in {"running", "undoing"}:
        with pytest.raises(LostHold):
            database.write(end)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_placement_whose_commit_is_cut_spends_once(
    database: Database, direct: Database, proxy: CuttingProxy, moment: str
) -> None:
    new = new_operation("scheduler")
    direct.write(operations.add, new)
    direct.write(pools.ensure, "storage")

    def place(tx: Connection) -> bool:
        placed = operations.place(tx, new.id, 0, QUEUE, {})
        pools.adjust(tx, "storage", 7, 1)
        return placed

    proxy.cut_next_commit(moment)
    assert database.write(place) is True
    assert found(direct, new.id).queue == QUEUE
    with direct.reading() as tx:
        assert pools.allocations(tx)["storage"] == (7, 1)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_type_whose_commit_is_cut_is_there_and_no_conflict_with_itself(
    database: Database, proxy: CuttingProxy, moment: str
) -> None:
    proxy.cut_next_commit(moment)
    database.write(volume_types.add, "type-1", "fast", is_public=True, extra_specs={})
    assert proxy.cuts == 1
    with database.reading() as tx:
        assert volume_types.get(tx, "fast").id == "type-1"
    with pytest.raises(IntegrityError):
        database.write(volume_types.add, "type-2", "fast", is_public=True, extra_specs={})


def test_a_connection_that_is_ended_in_the_middle_of_a_transaction_is_no_error(
    database: Database, direct: Database, kind: str
) -> None:
    direct.write(pools.ensure, "storage")
    asked = {
        "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
        "mariadb": ("SELECT connection_id()", "KILL {}"),
    }[kind]
    runs: list[int] = []

    def interrupted(tx: Connection) -> int:
        pools.adjust(tx, "storage", 1, 1)
        runs.append(int(tx.execute(text(asked[0])).scalar_one()))
        if len(runs) == 1:
            with direct.engine.connect() as other:
                other.execute(text(asked[1].format(runs[0])))
        pools.adjust(tx, "storage", 1, 1)
        return len(runs)

    assert database.write(interrupted) == 2
    with direct.reading() as tx:
        assert pools.allocations(tx)["storage"] == (2, 2)


def test_without_the_database_it_is_said_in_bounded_time_and_afterwards_all_goes_on(
    database: Database, direct: Database, proxy: CuttingProxy
) -> None:
    direct.write(pools.ensure, "storage")
    database.write(pools.adjust, "storage", 1, 1)
    proxy.close()
    for use in (lambda: database.write(pools.adjust, "storage", 1, 1), lambda: database.reading().__enter__()):
        with pytest.raises(ServiceUnavailable, match="the database cannot be used"):
            use()
    with direct.reading() as tx:
        assert pools.allocations(tx)["storage"] == (1, 1)


def test_a_server_that_does_not_answer_any_more_holds_no_thread_for_ever(
    url: str, proxy: CuttingProxy, direct: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct.write(pools.ensure, "storage")
    monkeypatch.setattr(connecting, "ANSWER_TIMEOUT", 1)
    for backend in ("mysql", "mariadb"):
        monkeypatch.setitem(connecting._ARGUMENTS[backend], "read_timeout", 1)
        monkeypatch.setitem(connecting._ARGUMENTS[backend], "connect_timeout", 1)
    monkeypatch.setattr(engine, "ABSENCE", 0.5)
    patient = Database(sqlalchemy.make_url(url).set(port=proxy.port).render_as_string(hide_password=False))
    patient.write(pools.adjust, "storage", 1, 1)
    proxy.drop()
    with pytest.raises(ServiceUnavailable, match="the database cannot be used"):
        patient.write(pools.adjust, "storage", 1, 1)
    proxy.pass_on()
    patient.close()


def test_a_server_that_is_killed_and_comes_back_under_load_loses_no_answered_write(kind: str) -> None:
    """Each thread writes numbers of its own; what it was told is there, and nothing is there twice."""
    with databases.SERVERS[kind].server() as server, server.database() as url:
        database = Database(url)
        migrate.upgrade(database)
        stop = threading.Event()

        def create(number: int) -> list[str]:
            told: list[str] = []
            while not stop.is_set():
                new = new_operation()
                try:
                    database.write(quotas.adjust, f"p{number}", {"volumes": 0})
                    database.write(count_and_add, f"p{number}", new)
                    told.append(new.id)
                except ServiceUnavailable:
                    stop.wait(0.1)
            return told

        with ThreadPoolExecutor(6) as threads:
            running = [threads.submit(create, number) for number in range(6)]
            for _ in range(2):
                time.sleep(0.5)
                server.kill()
                server.start()
            end = time.monotonic() + 90
            before = count(database, "operations")
            while count(database, "operations") < before + 30 and time.monotonic() < end:
                time.sleep(0.1)
            stop.set()
            told = [each for thread in running for each in thread.result()]
        with database.reading() as tx:
            stored = set(tx.execute(text("SELECT id FROM operations")).scalars())
            used = tx.execute(text("SELECT sum(in_use) FROM quotas")).scalar_one()
        database.close()
    assert len(stored) > before
    assert set(told) <= stored
    assert int(used) == len(stored)


def count_and_add(tx: Connection, project: str, new: NewOperation) -> None:
    quotas.adjust(tx, project, {"volumes": 1})
    operations.add(tx, new)

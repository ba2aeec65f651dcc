"""Writing beside other threads and other processes: what is busy is tried again, and nothing is written twice."""

import multiprocessing
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.lab import databases
from volumed.db import connecting, pools
from volumed.db.engine import Database
from volumed.model.errors import ServiceUnavailable


def allocated(database: Database) -> tuple[int, int]:
    with database.reading() as tx:
        return pools.allocations(tx)["storage"]


def write_many(url: str, count: int, go: Any) -> None:
    database = Database(url)
    go.wait(20)
    for _ in range(count):
        database.write(pools.adjust, "storage", 1, 1)
    database.close()


def test_two_processes_write_and_no_write_is_lost(database: Database) -> None:
    context = multiprocessing.get_context("spawn")
    database.write(pools.ensure, "storage")
    go = context.Event()
    url = database.url.render_as_string()
    writers = [context.Process(target=write_many, args=(url, 50, go)) for _ in range(2)]
    for writer in writers:
        writer.start()
    go.set()
    for writer in writers:
        writer.join(30)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert allocated(database) == (100, 100)


@databases.only("sqlite")
def test_a_busy_database_is_tried_again(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "SQLITE_BUSY_TIMEOUT", 10)
    impatient = Database(database.url.render_as_string())
    database.write(pools.ensure, "storage")
    holder = sqlite3.connect(tmp_path / "volumed.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.15, holder.execute, ["ROLLBACK"])
    release.start()
    impatient.write(pools.adjust, "storage", 1, 1)
    release.join()
    holder.close()
    impatient.close()
    assert allocated(database) == (1, 1)


@databases.only("sqlite")
def test_one_that_stays_busy_is_given_up_after_the_retries(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "SQLITE_BUSY_TIMEOUT", 1)
    impatient = Database(database.url.render_as_string(), retries=2)
    holder = sqlite3.connect(tmp_path / "volumed.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises((OperationalError, ServiceUnavailable), match="locked"):
        impatient.write(pools.ensure, "storage")
    holder.close()
    impatient.close()


def test_a_deadlock_is_run_again_from_its_beginning(database: Database) -> None:
    runs = []

    def deadlocked_once(tx: Connection) -> int:
        pools.ensure(tx, "storage")
        pools.adjust(tx, "storage", 1, 1)
        runs.append(1)
        if len(runs) == 1:
            raise OperationalError("UPDATE", {}, sqlite3.OperationalError("database table is locked"))
        return len(runs)

    assert database.write(deadlocked_once) == 2
    assert allocated(database) == (1, 1)


def test_what_is_wrong_is_not_run_again_and_leaves_nothing(database: Database) -> None:
    runs = []

    def collide(tx: Connection) -> None:
        runs.append(1)
        pools.ensure(tx, "storage")
        tx.execute(text("INSERT INTO pools (storage_id, allocated, volumes, updated_at) VALUES ('storage', 0, 0, 0)"))

    with pytest.raises(IntegrityError):
        database.write(collide)
    assert len(runs) == 1
    with database.reading() as tx:
        assert pools.allocations(tx) == {}


def test_a_reader_sees_nothing_of_a_write_under_way(database: Database) -> None:
    database.write(pools.ensure, "storage")

    def look_meanwhile(tx: Connection) -> tuple[int, int]:
        pools.adjust(tx, "storage", 5, 1)
        return allocated(database)

    assert database.write(look_meanwhile) == (0, 0)
    assert allocated(database) == (5, 1)

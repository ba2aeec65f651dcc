"""Whoever waits for an operation's end is told of it, by one thread that lives while somebody waits."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from volumed.db import operations, tables
from volumed.db.engine import Database
from volumed.db.operations import NewOperation
from volumed.operations.ends import EndPoller

NAME = "ends of operations"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/volumed.db")
    tables.METADATA.create_all(database.engine)
    yield database
    database.close()


def begin(database: Database, number: int) -> str:
    new = NewOperation(f"o{number}", "volume.delete", "volume", f"v{number}", f"v{number}", "p", "u", "r", "node@file")
    database.write(operations.add, new)
    return new.id


def end(database: Database, operation_id: str, error: dict[str, str] | None = None) -> None:
    def work(tx: object) -> None:
        claimed = operations.claim(tx, operation_id, "node@file", "worker", "token")  # type: ignore[arg-type]
        assert claimed is not None
        if error is None:
            operations.succeed(tx, claimed, [])  # type: ignore[arg-type]
        else:
            operations.fail(tx, claimed, error, [])  # type: ignore[arg-type]

    database.write(work)


def pollers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def test_an_end_is_told_with_its_error(database: Database) -> None:
    poller = EndPoller(database)
    good, bad = begin(database, 1), begin(database, 2)
    end(database, good)
    end(database, bad, {"type": "BackendFull", "message": "full"})
    assert poller.wait(good, 5) == ("succeeded", None)
    assert poller.wait(bad, 5) == ("failed", {"type": "BackendFull", "message": "full"})
    poller.stop()


def test_what_runs_on_is_not_waited_for_longer_than_asked(database: Database) -> None:
    poller = EndPoller(database)
    began = time.monotonic()
    assert poller.wait(begin(database, 1), 0.1) is None
    assert 0.1 <= time.monotonic() - began < 2
    poller.stop()


def test_many_waiters_share_a_thread_that_ends_with_them(database: Database) -> None:
    poller = EndPoller(database)
    waited = [begin(database, number) for number in range(20)]
    told: list[str] = []

    def wait(operation_id: str) -> None:
        found = poller.wait(operation_id, 10)
        assert found is not None
        told.append(found[0])

    threads = [threading.Thread(target=wait, args=(each,)) for each in waited for _ in range(2)]
    for thread in threads:
        thread.start()
    assert len(pollers()) == 1
    for each in waited:
        end(database, each)
    for thread in threads:
        thread.join()
    assert told == ["succeeded"] * 40
    deadline = time.monotonic() + 2
    while pollers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pollers() == []


def test_stopping_lets_everybody_go(database: Database) -> None:
    poller = EndPoller(database)
    operation_id = begin(database, 1)
    told: list[object] = []
    thread = threading.Thread(target=lambda: told.append(poller.wait(operation_id, 30)))
    thread.start()
    while not pollers():
        time.sleep(0.001)
    poller.stop()
    thread.join(5)
    assert told == [None]
    assert pollers() == []
    assert poller.wait(operation_id, 30) is None

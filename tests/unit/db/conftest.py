"""A database with the schema, and many threads that begin at once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from volumed.db import tables
from volumed.db.engine import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/volumed.db")
    tables.METADATA.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Calls ``work(number)`` on ``count`` threads that begin together; what each returned."""

    def run(work: Callable[[int], Any], count: int = 16) -> list[Any]:
        barrier = threading.Barrier(count)

        def one(number: int) -> Any:
            barrier.wait(10)
            return work(number)

        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(one, range(count)))

    return run

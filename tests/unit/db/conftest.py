"""A database with the schema, and many threads that begin at once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from volumed.db.engine import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Calls ``work(number)`` on ``count`` threads that begin together; what each returned."""

    def run(work: Callable[[int], Any], count: int = 16) -> list[Any]:
        barrier = threading.Barrier(count)

        def one(number: int) -> Any:
            barrier.wait(60)
            return work(number)

        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(one, range(count)))

    return run

"""Many threads that begin at once, on a database with the schema."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest


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

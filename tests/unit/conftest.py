"""Databases with the schema, of each kind that volumed supports."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab import databases
from volumed.db.engine import Database


@pytest.fixture(params=databases.KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    """The test runs on each kind; ``@databases.only("sqlite")`` for one that is about this one."""
    return str(request.param)


@pytest.fixture
def new_database_url(database_kind: str, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes a database each time it is called."""
    with ExitStack() as made:
        yield lambda: made.enter_context(
            databases.with_schema(database_kind, Path(tempfile.mkdtemp(dir=tmp_path))),
        )


@pytest.fixture
def database_url(database_kind: str, tmp_path: Path) -> Iterator[str]:
    """A database in ``tmp_path``, or one of a server."""
    with databases.with_schema(database_kind, tmp_path) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, opened."""
    database = Database(database_url)
    yield database
    database.close()

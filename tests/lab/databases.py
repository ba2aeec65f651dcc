"""A database of one's own on each kind of database that volumed supports, empty or with the schema.

The schema is made once a run and kind, by the migrations, and copied for each test.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from tests.lab import mariadb, postgresql
from volumed.db import migrate, tables
from volumed.db.engine import Database

SERVERS = {"postgresql": postgresql, "mariadb": mariadb}

#: For ``pytest.mark.parametrize`` and fixtures: the kinds with a server.
SERVER_KINDS = [
    pytest.param("postgresql", marks=pytest.mark.part("postgres")),
    pytest.param("mariadb", marks=pytest.mark.part("mariadbd")),
]

#: And all.
KINDS = ["sqlite", *SERVER_KINDS]

#: The same for rooms whose statements are those of ``volumed.db``: on the second server they run in the full product.
KINDS_IN_BRIEF = [
    *KINDS[:2],
    pytest.param("mariadb", marks=[pytest.mark.part("mariadbd"), pytest.mark.fleet]),
]

#: Templates on a server: as the migrations leave a new database, and without its rows.
MIGRATED, TEMPLATE = "volumed_migrated", "volumed_empty_schema"


def only(*kinds: str) -> pytest.MarkDecorator:
    """A test whose databases are of these kinds."""
    chosen = [kind for kind in KINDS if (kind if isinstance(kind, str) else kind.values[0]) in kinds]
    return pytest.mark.parametrize("database_kind", chosen, indirect=True)


@contextmanager
def empty(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database; ``folder`` is where a file may be."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/volumed.db"
    else:
        with SERVERS[kind].database() as url:
            yield url


@contextmanager
def with_schema(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a database at the newest revision, without a row."""
    if kind == "sqlite":
        with empty(kind, folder) as url:
            _make_tables(url)
            yield url
    else:
        _make_template(kind)
        with _lease(kind) as url:
            yield url


def _make_tables(url: str) -> None:
    database = Database(url)
    tables.METADATA.create_all(database.engine)
    database.close()


@contextmanager
def migrated(kind: str) -> Iterator[str]:
    """The URL of a database as the migrations leave a new one on a server, for services to run on."""
    _migrate_once(kind)
    with SERVERS[kind].database(MIGRATED) as url:
        yield url


def _make_template(kind: str) -> None:
    server = SERVERS[kind].shared()
    _migrate_once(kind)
    with server.once(TEMPLATE) as first:
        if first:
            server.recipe.create(server.port, TEMPLATE, MIGRATED)
            _clean(server.recipe.url(server.port, TEMPLATE))


def _migrate_once(kind: str) -> None:
    server = SERVERS[kind].shared()
    with server.once(MIGRATED) as first:
        if first:
            server.recipe.create(server.port, MIGRATED, None)
            database = Database(server.recipe.url(server.port, MIGRATED))
            migrate.upgrade(database)
            database.close()


#: Databases with the schema that this process has made and nobody uses: to clean one is far quicker than to make one.
_FREE: dict[str, list[str]] = {kind: [] for kind in SERVERS}


@contextmanager
def _lease(kind: str) -> Iterator[str]:
    server = SERVERS[kind].shared()
    if _FREE[kind]:
        name = _FREE[kind].pop()
    else:
        name = f"test_{uuid.uuid4().hex}"
        server.recipe.create(server.port, name, TEMPLATE)
    yield server.recipe.url(server.port, name)
    if server.recipe.is_in_use(server.port, name):  # by what a test has left behind: nobody else may meet it
        server.recipe.drop(server.port, name)
    else:
        _clean(server.recipe.url(server.port, name))
        _FREE[kind].append(name)


def _clean(url: str) -> None:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as tx:
        for table in reversed(tables.METADATA.sorted_tables):
            if table is not tables.event_positions:
                tx.execute(table.delete())
        tx.execute(tables.event_positions.update().values(last=0, forgotten=0))
        again = "ALTER SEQUENCE events_id_seq RESTART" if tx.dialect.name == "postgresql" else None
        tx.execute(sqlalchemy.text(again or "ALTER TABLE events AUTO_INCREMENT = 1"))

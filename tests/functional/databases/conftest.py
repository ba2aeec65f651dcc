"""A database with the schema on a server, and the same one through a proxy that cuts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import text

from tests.lab import databases
from tests.lab.cutting_proxy import CuttingProxy, cutting_proxy
from volumed.db.engine import Database


@pytest.fixture(params=databases.SERVER_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path) -> Iterator[str]:
    with databases.with_schema(kind, tmp_path) as made:
        yield made


@pytest.fixture
def direct(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def proxy(url: str) -> Iterator[CuttingProxy]:
    with cutting_proxy(sqlalchemy.make_url(url).port) as proxy:
        yield proxy


@pytest.fixture
def database(url: str, proxy: CuttingProxy) -> Iterator[Database]:
    """Through the proxy, without encryption: it looks for words."""
    cut = Database(sqlalchemy.make_url(url).set(port=proxy.port).render_as_string(hide_password=False))
    with cut.reading() as tx:  # connecting commits too
        tx.execute(text("SELECT 1"))
    yield cut
    cut.close()

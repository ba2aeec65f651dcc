"""The WSGI application over a real SQLite database; what it would have cast is recorded, and nobody carries it out.

``manager`` plays the service's part where a test needs an operation to end. What is imported here is imported before
the concurrency is chosen, so nothing that depends on it may be.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import falcon.testing
import pytest

from tests.lab.sealed import seal_in
from volumed.db.engine import Database

if TYPE_CHECKING:
    from tests.functional.api.stage import Api, PlayedManager, Recorder
    from volumed.operations.ends import EndPoller
    from volumed.operations.feed import Feed


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    from volumed.db import services, tables

    database = Database(f"sqlite:///{tmp_path}/volumed.db", seal=seal_in(tmp_path))
    tables.METADATA.create_all(database.engine)
    for service_id, binary, host in (
        ("5c3a6f44-0000-4000-8000-000000000001", "volumed-scheduler", "node"),
        ("5c3a6f44-0000-4000-8000-000000000002", "volumed-volume", "node@file"),
    ):
        database.write(services.register, service_id, binary, host, binary, "nova", "incarnation", "1.4")
        database.write(services.report, binary, host, "incarnation", "up", None)
    yield database
    database.close()


@pytest.fixture
def options() -> dict[tuple[str, str], Any]:
    """Options that a test replaces."""
    return {}


@pytest.fixture
def recorder() -> "Recorder":
    from tests.functional.api.stage import Recorder

    return Recorder()


@pytest.fixture
def ends(database: Database) -> Iterator["EndPoller"]:
    from volumed.operations.ends import EndPoller

    ends = EndPoller(database)
    yield ends
    ends.stop()


@pytest.fixture
def feed(database: Database) -> Iterator["Feed"]:
    from volumed.operations.feed import Feed

    feed = Feed(database)
    yield feed
    feed.stop()


@pytest.fixture
def api(
    database: Database, recorder: "Recorder", ends: "EndPoller", feed: "Feed", options: dict[tuple[str, str], Any]
) -> "Api":
    """A client of the application as the user ``alice`` of the project ``p1``."""
    from tests.functional.api.stage import Api
    from volumed import conf
    from volumed.api.app import ApiParts, make_app
    from volumed.doctor.examiners import RowExaminer
    from volumed.rpc.scheduler_client import SchedulerClient
    from volumed.rpc.volume_client import VolumeClient

    defaults = {("api", "attach_timeout"): 1.5, ("quota", "volumes"): 100, ("quota", "snapshots"): 100, **options}
    settings = conf.load(defaults=defaults)
    rows = RowExaminer(database, count_snapshot_gigabytes=True, idempotency_retention=86400)
    parts = ApiParts(settings, database, SchedulerClient(recorder), VolumeClient(recorder), ends, rows, feed)
    return Api(falcon.testing.TestClient(make_app(parts)), "alice:p1")


@pytest.fixture
def admin(api: "Api") -> "Api":
    return api.as_user("admin:ops")


@pytest.fixture
def stranger(api: "Api") -> "Api":
    return api.as_user("mallory:p2")


@pytest.fixture
def manager(database: Database) -> "PlayedManager":
    from tests.functional.api.stage import PlayedManager

    return PlayedManager(database)

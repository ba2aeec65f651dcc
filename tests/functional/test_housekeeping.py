"""What was kept long enough is forgotten also by a service that never lives for long."""

import sqlite3
import time
from contextlib import closing

import pytest

from tests.lab.daemon import PATIENCE
from tests.lab.nursery import ForkedDaemon, forked_daemon

pytestmark = pytest.mark.embedded_only("it writes into the file of the database")

#: Later than a service of this test lives.
CONFIGURATION = "[DEFAULT]\nperiodic_fuzzy_delay = 3600\n"


def keys(daemon: ForkedDaemon, *statements: str) -> int:
    """Idempotency keys that are kept, once the statements have run."""
    with closing(sqlite3.connect(daemon.state / "volumed.db", timeout=PATIENCE)) as database, database:
        for statement in statements:
            database.execute(statement)
        return int(database.execute("SELECT count(*) FROM idempotency_keys").fetchone()[0])


def test_a_round_is_due_by_the_database_and_begins_with_a_start() -> None:
    with forked_daemon(CONFIGURATION) as daemon:
        daemon.kill()
        old = "INSERT INTO idempotency_keys VALUES ('p', 'u', 'key', 'hash', 202, 'volume', 'v', 1)"
        assert keys(daemon, old, "UPDATE leaders SET until = 1 WHERE task = 'housekeeping'") == 1
        daemon.start()
        deadline = time.monotonic() + PATIENCE
        while keys(daemon):
            assert time.monotonic() < deadline, "nobody forgets it"
            time.sleep(0.05)

"""Brings a database to the schema of this release, and refuses one that a newer release has changed.

alembic is imported only when there is something to do: a start at the newest revision costs one query.
"""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DatabaseError

from volumed.db import connecting, deployment
from volumed.db.engine import Database
from volumed.model.errors import ConfigurationError, ServiceUnavailable

LOG = logging.getLogger(__name__)

#: Services start at the same time, and one migrates: the lock of each kind of server, kept to the connection's end.
_LOCKS = {
    "postgresql": "SELECT pg_advisory_xact_lock(8776)",
    "mysql": "SELECT GET_LOCK(CONCAT('volumed.', DATABASE()), 3600)",
    "mariadb": "SELECT GET_LOCK(CONCAT('volumed.', DATABASE()), 3600)",
}

#: The newest revision; a test holds it against the files in ``migrations/versions``.
NEWEST = "0004"

MIGRATIONS = Path(__file__).parent / "migrations"


def version(database: Database) -> str | None:
    """The revision that the database is at, None when it is empty.

    Raises ``ConfigurationError`` for what is no database, or one of somebody else's, ``ServiceUnavailable`` for a
    server that is away: it comes back, a file that cannot be opened does not.
    """
    try:
        with database.reading() as tx:
            return _version(tx)
    except (DatabaseError, ServiceUnavailable) as error:
        if isinstance(error, ServiceUnavailable) and database.engine.dialect.name != "sqlite":
            raise
        reason = str(error.orig if isinstance(error, DatabaseError) else error)
        raise ConfigurationError(option=f"[database] connection {database.url!r}", reason=reason) from error


#: In a revision's name: what follows is the oldest release (by its newest revision) that can work with it.
_NEEDS = "-needs-"


def check(database: Database) -> None:
    """Raise ``ConfigurationError`` unless this release can work with the database.

    A revision of a newer release only adds, so this one works with it, as services of two releases side by side want;
    the first one that takes something away is called ``REVISION-needs-OLDEST``, and refuses what is older.
    """
    found = version(database)
    if found is None or found < NEWEST:
        reason = f"the schema is at {found or 'nothing'}, this release needs {NEWEST}: volumed-manage db upgrade"
        raise ConfigurationError(option="[database] connection", reason=reason)
    needed = found.partition(_NEEDS)[2]
    if needed > NEWEST:
        reason = f"the schema is at {found}, made for releases from {needed} on; this one knows up to {NEWEST}"
        raise ConfigurationError(option="[database] connection", reason=reason)


def upgrade(database: Database, to: str = NEWEST, migrations: Path = MIGRATIONS) -> None:
    """Migrate to the revision ``to``; a database that is there is left alone.

    All or nothing where the database can; on MariaDB a migration that was interrupted is gone on with by the next call.
    Raises ``ConfigurationError`` when the schema is of a release that this one does not know.
    """
    found = version(database)
    if found == to:
        return
    _migrate(database, found, to, migrations)
    LOG.info("the schema was migrated from %s to %s", found or "nothing", to)


def _migrate(database: Database, found: str | None, to: str, migrations: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        reason = f"the schema is at {found}, made by a newer release; this one knows up to {to}"
        raise ConfigurationError(option="[database] connection", reason=reason)
    with _alone(database) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)
        deployment.ensure(connection, str(uuid.uuid4()))


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """A transaction that no other migration runs beside; its statements take as long as they take."""
    lock = _LOCKS.get(database.engine.dialect.name)
    engine = database.engine if lock is None else connecting.patient_engine(database.url)
    with engine.begin() as connection:
        if lock is not None:
            connection.execute(text(lock))
        yield connection
    if lock is not None:
        engine.dispose()


def _version(tx: Connection) -> str | None:
    if not inspect(tx).has_table("alembic_version"):
        return None
    found = tx.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)

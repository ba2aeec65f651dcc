"""The migrations make the schema that the code knows, and refuse what they do not know."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect, select, text

from tests.lab import databases
from volumed.db import deployment, events, migrate, volume_types
from volumed.db.engine import Database
from volumed.db.events import Wanted
from volumed.db.tables import METADATA
from volumed.model.errors import ConfigurationError


@pytest.fixture
def database(database_kind: str, tmp_path: Path) -> Iterator[Database]:
    with databases.empty(database_kind, tmp_path) as url:
        database = Database(url)
        yield database
        database.close()


def test_the_migrated_schema_is_the_one_in_the_tables(database: Database) -> None:
    migrate.upgrade(database)
    assert differences(database) == []


def test_the_newest_revision_is_the_one_that_the_code_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.NEWEST


def test_an_upgrade_makes_one_deployment_and_a_second_upgrade_changes_nothing(database: Database) -> None:
    assert migrate.version(database) is None
    migrate.upgrade(database)
    with database.reading() as tx:
        first = deployment.get_id(tx)
    migrate.upgrade(database)
    with database.reading() as tx:
        assert deployment.get_id(tx) == first
    migrate.check(database)


def test_a_schema_that_is_not_there_or_newer_is_refused(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="is at nothing"):
        migrate.check(database)
    migrate.upgrade(database)
    database.write(lambda tx: tx.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(ConfigurationError, match="newer release"):
        migrate.upgrade(database)


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """The migrations with one more, as the next release would have it."""
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for path in [migrate.MIGRATIONS / "env.py", *(migrate.MIGRATIONS / "versions").glob("*.py")]:
        (folder / path.relative_to(migrate.MIGRATIONS)).write_text(path.read_text())
    (folder / "versions" / "next.py").write_text(
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        f"revision, down_revision = 'next', {migrate.NEWEST!r}\n"
        "def upgrade() -> None:\n"
        "    op.add_column('pools', sa.Column('colour', sa.String(8)))\n"
    )
    return folder


def test_a_database_of_this_release_is_brought_to_the_next_with_its_rows(
    database: Database, next_release: Path
) -> None:
    migrate.upgrade(database)
    with database.reading() as tx:
        before = deployment.get_id(tx)
    migrate.upgrade(database, to="next", migrations=next_release)
    with database.reading() as tx:
        assert deployment.get_id(tx) == before
        assert "colour" in {column["name"] for column in inspect(tx).get_columns("pools")}


def test_events_of_the_first_release_have_their_places_in_the_stream(database: Database) -> None:
    migrate.upgrade(database, to="0001")
    told = (
        "INSERT INTO events (resource_type, resource_id, sequence, project_id, event_type, payload, created_at,"
        " published) VALUES ('volume', 'v', {number}, 'p', 'volume.create.start', '{{}}', 0, true)"
    )
    for number in (1, 2, 3):
        database.write(lambda tx, number=number: tx.execute(text(told.format(number=number))))
    migrate.upgrade(database)
    database.write(events.number)
    with database.reading() as tx:
        found = events.behind(tx, Wanted(), 0, 3, 10)
    assert [(each.position, each.sequence) for each in found] == [(1, 1), (2, 2), (3, 3)]


@databases.only("sqlite", "postgresql")
def test_a_migration_that_fails_in_the_middle_leaves_nothing(database: Database, next_release: Path) -> None:
    with (next_release / "versions" / "next.py").open("a") as script:
        script.write("    raise RuntimeError('power cut')\n")
    migrate.upgrade(database)
    with pytest.raises(RuntimeError):
        migrate.upgrade(database, to="next", migrations=next_release)
    assert migrate.version(database) == migrate.NEWEST
    with database.reading() as tx:
        assert "colour" not in {column["name"] for column in inspect(tx).get_columns("pools")}
        tx.execute(select(1))


def differences(database: Database) -> list[object]:
    with database.reading() as tx:
        return compare_metadata(MigrationContext.configure(tx, opts={"compare_type": True}), METADATA)


class PowerCut(Exception):
    pass


@databases.only("mariadb")
def test_a_migration_that_was_interrupted_anywhere_is_gone_on_with(database: Database, tmp_path: Path) -> None:
    """MariaDB commits with each change of the schema. Each try gets five statements further than the one before."""
    allowed = 0

    def cut(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        nonlocal left
        if statement.lstrip().upper().startswith(("CREATE", "ALTER", "INSERT", "UPDATE")):
            left -= 1
            if left < 0:
                raise PowerCut

    event.listen(Engine, "before_cursor_execute", cut)
    for allowed in range(0, 200, 5):
        left = allowed
        try:
            migrate.upgrade(database)
            break
        except PowerCut:
            continue
    event.remove(Engine, "before_cursor_execute", cut)
    assert allowed >= 20
    assert differences(database) == []
    with database.reading() as tx:
        assert deployment.get_id(tx)
        assert events.positions(tx) == events.Positions(0, 0)


def test_services_that_start_together_migrate_once(database: Database) -> None:
    url = database.url.render_as_string(hide_password=False)
    others = [Database(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(migrate.upgrade, others))
    for other in others:
        other.close()
    migrate.check(database)
    assert differences(database) == []


@databases.only("postgresql", "mariadb")
def test_what_names_something_is_compared_exactly(database: Database) -> None:
    """In case, accents and spaces at the end: MariaDB's usual collations take them for the same."""
    migrate.upgrade(database)
    for name in ("fast", "FAST", "fäst", "fast ", "\U0001f4be"):
        database.write(volume_types.add, f"id of {name}", name, is_public=True, extra_specs={"name": name})
        with database.reading() as tx:
            assert volume_types.get(tx, name).extra_specs == {"name": name}
            assert volume_types.get(tx, f"id of {name}").name == name


@pytest.mark.parametrize(
    ("revision", "refusal"),
    [
        ("0001", "the schema is at 0001, this release needs"),
        (None, "the schema is at nothing, this release needs"),
        ("9998", None),
        ("9999-needs-0001", None),
        ("9999-needs-9998", "made for releases from 9998 on"),
    ],
)
def test_a_service_works_with_a_schema_that_a_newer_release_has_added_to(
    database: Database, revision: str | None, refusal: str | None
) -> None:
    migrate.upgrade(database)
    with database.engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        if revision:
            connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})
    with pytest.raises(ConfigurationError, match=refusal) if refusal else nullcontext():
        migrate.check(database)

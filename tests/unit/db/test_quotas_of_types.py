"""What projects may use of a type follows its name, and what a purge has yet to give back is not lost with it."""

from sqlalchemy import select

from volumed.db import quotas, tables, volume_types
from volumed.db.engine import Database


def used(database: Database, name: str) -> int:
    wanted = select(tables.quotas.c.in_use).where(tables.quotas.c.resource == f"volumes_{name}")
    with database.reading() as tx:
        return int(tx.execute(wanted).scalar() or 0)


def test_what_is_given_back_after_a_type_is_gone_makes_nobody_richer(database: Database) -> None:
    database.write(quotas.adjust, "p", {"volumes_old": 1, "gigabytes_old": 3})
    database.write(quotas.adjust, "p", {"volumes_new": 2})
    database.write(volume_types.forget_quotas, "old")
    assert used(database, "old") == 1, "a purge gives it back yet"
    database.write(volume_types.rename_quotas, "new", "old")
    assert (used(database, "old"), used(database, "new")) == (3, 0)
    database.write(quotas.adjust, "p", {"volumes_old": -1, "gigabytes_old": -3})
    assert used(database, "old") == 2
    database.write(volume_types.forget_quotas, "unknown")

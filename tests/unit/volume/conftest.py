"""A database with the schema and a default type, and rows of volumes as the tests need them."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.sealed import seal_in
from volumed.db import tables, volume_types, volumes
from volumed.db.engine import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/volumed.db", seal=seal_in(tmp_path))
    tables.METADATA.create_all(database.engine)
    database.write(volume_types.ensure_default, "__DEFAULT__")
    yield database
    database.close()


@pytest.fixture
def add_volume(database: Database) -> Callable[..., str]:
    """Makes a volume's row and returns its id."""
    with database.reading() as tx:
        kind = volume_types.get(tx, "__DEFAULT__").id

    def add(status: str = "creating", **more: Any) -> str:
        values: dict[str, Any] = {"id": str(uuid.uuid4()), "project_id": "p", "user_id": "u", "size": 1}
        values |= {"availability_zone": "nova", "volume_type_id": kind, "bootable": False, "multiattach": False}
        values |= {"metadata": {}, "facts": {}, "status": status} | more
        database.write(volumes.add, **values)
        return str(values["id"])

    return add

"""A cleanup removes what its attempt left, and never what came after it, here or through another service."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lab.data_paths import Local
from tests.lab.file_backend import FileBackend
from volumed.db.engine import Database
from volumed.driver.interface import VolumeRef
from volumed.volume.cleanup import CleanupWork, RemoveLeftover

HERE = "node@file"


@pytest.mark.parametrize(
    ("row", "stays"),
    [
        ({"host": None, "storage_id": None}, False),
        ({"host": f"{HERE}#pool", "storage_id": "shared"}, True),
        ({"host": "other@file#pool", "storage_id": "shared"}, True),
        ({"host": "other@file#pool", "storage_id": "another"}, False),
        ({"host": "other@file#pool", "storage_id": None}, False),
    ],
)
def test_what_has_come_back_stays(
    database: Database, add_volume: Callable[..., str], tmp_path: Path, row: dict[str, Any], stays: bool
) -> None:
    driver = FileBackend(tmp_path, "fake", Local()).driver()
    driver.do_setup()
    volume = VolumeRef(add_volume("available", **row), 1, "pool")
    driver.create(volume)
    operation: Any = SimpleNamespace(args={"storage_id": "shared" if row["storage_id"] else None})
    backend: Any = SimpleNamespace(host=HERE, driver=driver, database=database)
    RemoveLeftover(backend).do(CleanupWork(operation=operation, volume=volume))
    assert driver.has_volume(volume) is stays

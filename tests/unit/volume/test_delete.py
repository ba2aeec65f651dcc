"""A delete believes that a volume is gone only on the storage that the volume is on."""

from types import SimpleNamespace
from typing import Any

import pytest

from volumed.driver.errors import BackendUnreachable
from volumed.volume.delete import Remove


class Driver:
    """Knows no volume, so that each delete is fine."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def delete(self, volume: Any) -> None:
        self.deleted.append(volume.id)


@pytest.mark.parametrize(
    ("storage_id", "served", "force", "is_deleted"),
    [
        ("here", {"here", "also-here"}, False, True),
        ("elsewhere", {"here"}, False, False),
        ("elsewhere", {"here"}, True, True),
        (None, {"here"}, False, True),
        ("here", set(), False, True),
    ],
)
def test_what_is_on_another_storage_is_not_absent(
    storage_id: str | None, served: set[str], force: bool, is_deleted: bool
) -> None:
    driver = Driver()
    backend: Any = SimpleNamespace(host="node@disk", driver=driver, storages=served)
    volume = SimpleNamespace(id="v", size=1, host="node@disk#pool", facts={}, storage_id=storage_id)
    work: Any = SimpleNamespace(volume=volume, operation=SimpleNamespace(args={"force": force}))
    if is_deleted:
        Remove(backend).do(work)
    else:
        with pytest.raises(BackendUnreachable, match="is on storage elsewhere, and this service serves here now"):
            Remove(backend).do(work)
    assert driver.deleted == (["v"] if is_deleted else [])

"""A delete believes that a volume is gone only on the storage that the volume is on."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from volumed.driver.errors import BackendUnreachable
from volumed.volume.backend import Backend
from volumed.volume.delete import Remove
from volumed.volume.delete_snapshot import Remove as RemoveSnapshot


class Driver:
    """Knows no volume, so that each delete is fine."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def delete(self, volume: Any) -> None:
        self.deleted.append(volume.id)

    def delete_snapshot(self, snapshot: Any) -> None:
        self.deleted.append(snapshot.id)


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
    backend = Backend("node@disk", cast(Any, driver), cast(Any, None), False, served)
    volume = SimpleNamespace(id="v", size=1, host="node@disk#pool", facts={}, storage_id=storage_id)
    snapshot = SimpleNamespace(id="s", size=1, facts={})
    work: Any = SimpleNamespace(volume=volume, snapshot=snapshot, operation=SimpleNamespace(args={"force": force}))
    for step in (Remove(backend), RemoveSnapshot(backend)):
        if is_deleted:
            step.do(work)
        else:
            with pytest.raises(BackendUnreachable, match="is on storage elsewhere, and this service serves here now"):
                step.do(work)
    assert driver.deleted == (["v", "s"] if is_deleted else [])

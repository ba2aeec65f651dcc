"""The ``file`` driver whose copies count as sharing data until they are flattened, with faults that a test orders.

``volume_driver = tests.lab.flattening_driver.FaultyFlatteningDriver``. That a copy shares is a mark beside the pool.
"""

from pathlib import Path

from tests.lab.faulty_driver import FaultyDriver
from volumed.driver.crash import crash_point
from volumed.driver.interface import Facts, Progress, SnapshotRef, VolumeRef
from volumed.driver.registry import Setup
from volumed_drivers.file.driver import FileDriver


def mark_of(state: Path, volume_id: str) -> Path:
    """The mark of a copy that shares data, in the state folder of its node."""
    return state / "sharing" / volume_id


class FlatteningDriver(FileDriver):
    """See the module."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._state = setup.state_path

    def create_from_volume(self, volume: VolumeRef, source: VolumeRef, progress: Progress) -> Facts:
        self._mark(volume)
        return super().create_from_volume(volume, source, progress)

    def create_from_snapshot(self, volume: VolumeRef, snapshot: SnapshotRef, progress: Progress) -> Facts:
        self._mark(volume)
        return super().create_from_snapshot(volume, snapshot, progress)

    def delete(self, volume: VolumeRef) -> None:
        super().delete(volume)
        mark_of(self._state, volume.id).unlink(missing_ok=True)

    def wants_flatten(self, volume: VolumeRef) -> bool:
        return mark_of(self._state, volume.id).exists()

    def flatten(self, volume: VolumeRef, progress: Progress) -> None:
        progress(0, 2)
        crash_point("flattening.unmark.before")
        mark_of(self._state, volume.id).unlink(missing_ok=True)
        crash_point("flattening.unmark.after")
        progress(2, 2)

    def _mark(self, volume: VolumeRef) -> None:
        mark = mark_of(self._state, volume.id)
        mark.parent.mkdir(exist_ok=True)
        mark.touch()


class FaultyFlatteningDriver(FaultyDriver):
    """The same, failing on order."""

    DRIVER = FlatteningDriver

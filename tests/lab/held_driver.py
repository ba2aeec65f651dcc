"""The faulty driver on a backend as thick LVM with snapshots: what is exported to nobody is held open, and cannot grow.

``volume_driver = tests.lab.held_driver.HeldDriver``.
"""

from tests.lab.faulty_driver import FaultyDriver
from volumed.driver.errors import BackendBusy
from volumed.driver.interface import Progress, VolumeRef, unwatched
from volumed_drivers.file.driver import FileDriver


class _Held(FileDriver):
    def extend(self, volume: VolumeRef, new_size: int, progress: Progress = unwatched) -> None:
        if volume.id in self.exports():
            raise BackendBusy(backend="one", what=f"volume {volume.id}", reason="its export holds it open")
        super().extend(volume, new_size, progress)


class HeldDriver(FaultyDriver):
    """See the module."""

    DRIVER = _Held

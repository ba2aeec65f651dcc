"""The ``file`` driver whose deletes leave something that is purged later, with faults that a test orders.

``volume_driver = tests.lab.remaining_driver.FaultyRemainingDriver``. A delete renames the volume's file to
``remains-ID.NUMBER``, as a backend with a trash would; a purge makes it smaller step by step before it goes.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.faulty_driver import FaultyDriver
from volumed.driver.crash import crash_point
from volumed.driver.interface import Leftover, Progress, Remains, VolumeRef
from volumed.driver.registry import Setup
from volumed_drivers.file.driver import FileDriver

#: Steps in which a purge frees what is left.
STEPS = 2

_NAME = re.compile(r"remains-(?P<id>[^/]+)\.(?P<number>\d+)")


class RemainingDriver(FileDriver):
    """See the module. A volume of the same id may have been deleted before: each leaves a file of its own."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._folder = Path(setup.options.file_pool_path or setup.state_path / "pool")

    def delete(self, volume: VolumeRef) -> Remains | None:  # type: ignore[override]
        path = self._folder / f"volume-{volume.id}"
        if path.exists():
            number = len(list(self._remains(volume.id)))
            crash_point("remaining.rename.before")
            os.rename(path, self._folder / f"remains-{volume.id}.{number}")
            crash_point("remaining.rename.after")
        super().delete(volume)
        left = list(self._remains(volume.id))
        return Remains(f"{len(left)} files in the trash") if left else None

    def purge(self, volume: VolumeRef, progress: Progress) -> None:
        for path in self._remains(volume.id):
            whole = path.stat().st_size
            for step in range(STEPS):
                progress(step * whole // STEPS, whole)
                crash_point("remaining.truncate.before")
                os.truncate(path, whole - (step + 1) * whole // STEPS)
                crash_point("remaining.truncate.after")
            crash_point("remaining.unlink.before")
            path.unlink(missing_ok=True)
            crash_point("remaining.unlink.after")

    def audit(self) -> Sequence[Leftover]:
        found = [*super().audit()]
        for path in self._remains():
            match = _NAME.fullmatch(path.name)
            assert match is not None
            found.append(Leftover("remains", match["id"], str(path), "in the trash"))
        return found

    def _remains(self, volume_id: str = "*") -> Iterator[Path]:
        yield from sorted(self._folder.glob(f"remains-{volume_id}.*"))


class FaultyRemainingDriver(FaultyDriver):
    """The same, failing on order."""

    DRIVER = RemainingDriver

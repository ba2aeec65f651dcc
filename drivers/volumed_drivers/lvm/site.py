"""What thin and thick volumes share: how they are found, activated and removed, and how a refusal becomes an error.

Knows LVM's answers; knows nothing of exports.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volumed.driver.errors import BackendBusy, BackendError, BackendFull, BackendNotFound, BackendUnreachable
from volumed_drivers.lvm.commands import Group, LogicalVolume, Lvm, Refused
from volumed_drivers.lvm.filling import Position, size_of
from volumed_drivers.lvm.hands import mapper_of
from volumed_drivers.lvm.names import Names

#: What is noted of a device: how far it has its data, and how far it is cleared of them. Both outlive its renaming.
FILLED, WIPED = "at", "wiped"


@dataclass(frozen=True)
class Site:
    """One backend's place: its group, its names, and a folder of this node for notes."""

    backend: str
    lvm: Lvm
    names: Names
    notes: Path
    options: Any

    def labels(self, name: str, *more: str) -> list[str]:
        """The options that tag the logical volume ``name`` as ours."""
        return [word for tag in (*self.names.tags(name), *more) for word in ("--addtag", tag)]

    def path(self, name: str) -> str:
        """How LVM's commands are told ``name``."""
        return f"{self.lvm.group}/{name}"

    def position(self, device: str, done: str = FILLED) -> Position:
        """How far the device is filled, or wiped: noted by its unique id, so that another of its name begins anew."""
        number = os.stat(device).st_rdev
        unique = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/dm/uuid").read_text().strip()
        return Position(self.notes / f"{unique}.{done}")

    def find(self, name: str, what: str, group: Group | None = None) -> LogicalVolume:
        """The logical volume, in ``group`` or as it is now. Raises ``BackendNotFound``."""
        found = (group or self.lvm.look()).volumes.get(name)
        if found is None:
            raise BackendNotFound(what=what, backend=self.backend)
        return found

    def full(self, what: str, reason: str) -> BackendFull:
        return BackendFull(backend=self.backend, what=what, reason=reason)

    def failed(self, what: str, refused: Refused) -> BackendError:
        """LVM refused, and nothing that we know is the cause."""
        return BackendUnreachable(backend=self.backend, reason=f"{what}: {refused.reason}")

    def activate(self, name: str) -> None:
        """Have its device there. Snapshots are skipped by LVM unless told not to. Raises ``Refused``."""
        self.lvm.change("activate", "lvchange", "-y", "-ay", "-K", self.path(name))

    def activate_all(self, names: Sequence[str]) -> None:
        """Have their devices there; whoever wants one that LVM could not activate is told then."""
        if names:
            with contextlib.suppress(Refused):
                self.lvm.change("activate_all", "lvchange", "-y", "-ay", "-K", *map(self.path, names))
            self.lvm.forget()

    def device(self, name: str, what: str) -> tuple[str, int]:
        """The path of its device, activated if it is not, and its size in bytes. Raises ``BackendNotFound``."""
        path = self.lvm.device(name)
        for attempt in (1, 2):
            try:
                with self.lvm.opened(name, writable=False) as device:
                    return path, size_of(device)
            except OSError as error:
                if attempt == 2:
                    raise BackendUnreachable(backend=self.backend, reason=f"{path}: {error.strerror}") from error
                self._activate(name, what)
        raise AssertionError

    def is_left_active(self, part: str) -> bool:
        """Whether the device of a part is there, and nothing stands on it; what is read-only is an administrator's."""
        try:
            number = os.stat(mapper_of(self.lvm.group, part)).st_rdev
            device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
            return not os.listdir(device / "holders") and (device / "ro").read_text().strip() == "0"
        except OSError:
            return False

    def remove(self, name: str, what: str) -> None:
        """Remove the logical volume; an absent one is fine. Raises ``BackendBusy`` naming who has it open."""
        with contextlib.suppress(OSError):
            for done in (FILLED, WIPED):
                self.position(self.lvm.device(name), done).forget()
        try:
            self.lvm.change("remove", "lvremove", "-y", self.path(name))
        except Refused as refused:
            found = self.lvm.look().volumes.get(name)
            if found is not None:
                self.refuse_open(found, what)
                raise self.failed(what, refused) from refused
        self.lvm.gone(name)

    def rename(self, old: str, new: str) -> None:
        """Raises ``Refused``."""
        self.lvm.change("rename", "lvrename", "-y", self.lvm.group, old, new)
        self.lvm.forget()

    def refuse_open(self, found: LogicalVolume, what: str, error: type[BackendBusy] = BackendBusy) -> None:
        """Raise ``error`` when somebody has it open."""
        if found.open:
            holders = self.lvm.hands.holders(self.lvm.group, found.name)
            raise error(what=what, backend=self.backend, reason=f"open: {holders}")

    @contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Say in the backend's family what the system says of a device."""
        try:
            yield
        except OSError as error:
            raise BackendUnreachable(backend=self.backend, reason=f"{what}: {error.strerror or error}") from error

    def _activate(self, name: str, what: str) -> None:
        try:
            self.activate(name)
        except Refused as refused:
            self.find(name, what)
            raise self.failed(what, refused) from refused

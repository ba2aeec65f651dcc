"""Thick volumes: all of their extents from the beginning, cleared before anybody sees them.

A volume is whole when it has its size and the mark that it is not ready is gone. A deleted one is renamed, which is
where nobody reaches it any more, and cleared later.
"""

import contextlib
import math
from collections.abc import Iterator
from contextlib import contextmanager

from volumed.driver.errors import BackendBusy, BackendError, BackendHeld
from volumed.driver.interface import Progress, Remains, unwatched
from volumed_drivers.lvm.commands import Group, LogicalVolume, Refused
from volumed_drivers.lvm.filling import clear, copy, overwrite
from volumed_drivers.lvm.names import UNCLEARED, UNREADY
from volumed_drivers.lvm.site import WIPED, Site

MIB = 1024**2
TIB = 1024**4


class Thick:
    """The thick volumes of one group."""

    name = "thick"

    def __init__(self, site: Site) -> None:
        self._site = site
        self._mirrors: int = site.options.lvm_mirrors

    def prepare(self, group: Group) -> None:
        """There is nothing to prepare."""

    def check(self, group: Group) -> None:
        """There is no pool that could be broken."""

    def make(self, name: str, size: int, what: str, progress: Progress = unwatched) -> None:
        """A volume of ``size`` bytes that reads as zeros; one that is there is finished."""
        if self._allocate(name, size, what, progress):
            device, _ = self._site.device(name, what)
            with self._written(name, what) as opened:
                clear(opened, 0, size, self._site.position(device), progress)
            self._ready(name, what)

    def snapshot(self, origin: str, name: str, what: str) -> None:
        """An instant of ``origin``, with room for all of it to change."""
        try:
            self._take(origin, name)
        except Refused as refused:
            group = self._site.lvm.look()
            volume = self._site.find(origin, f"the volume of {what}", group)
            found = group.volumes.get(name)
            if found is None:
                self._refuse_full(volume.size, group, what)
                raise self._site.failed(what, refused) from refused
            if found.origin != origin:  # killed before it became a snapshot, it is only what would hold its changes
                self._site.remove(name, what)
                self.snapshot(origin, name, what)

    def copy(self, source: str, name: str, size: int, what: str, progress: Progress) -> None:
        """A volume with what ``source`` has now and zeros up to ``size`` bytes.

        What ``progress`` stops stays as far as it is: a repeat goes on there, and ``remove`` removes it.
        """
        self._site.find(source, f"the source of {what}")
        if not self._allocate(name, size, what, progress):
            return
        try:
            self._fill(source, name, size, what, progress)
        except BackendError:
            self._forget(name, what)
            raise
        self._ready(name, what)

    def grow(self, name: str, size: int, what: str, progress: Progress = unwatched) -> None:
        """Have it be ``size`` bytes, at least; the new end reads as zeros. What refuses it changes nothing."""
        group = self._site.lvm.look()
        found = self._site.find(name, what, group)
        start = _uncleared(found)
        if start is None and found.size >= size:
            return
        snapshots = list(group.snapshots_of(name))
        if found.size < size:
            self._refuse_full(size - found.size, group, what)
            for each in (found, *snapshots) if snapshots else ():
                self._site.refuse_open(each, what, BackendHeld)
        if start is None:
            start = found.size
            with contextlib.suppress(OSError):
                self._site.position(self._site.lvm.device(name)).forget()
            self._change(what, "tag", "lvchange", "-y", "--addtag", f"{UNCLEARED}{start}", self._site.path(name))
        if found.size < size:
            if snapshots:  # LVM resizes their origin only while none of them is active
                self._change(what, "deactivate", "lvchange", "-y", "-an", self._site.path(name))
            self._change(what, "extend", "lvextend", "-y", "-L", f"{size}b", self._site.path(name))
        device, end = self._site.device(name, what)
        with self._written(name, what) as opened:
            position = self._site.position(device)
            clear(opened, start, end, position, progress)
        self._change(what, "tag", "lvchange", "-y", "--deltag", f"{UNCLEARED}{start}", self._site.path(name))
        position.forget()

    def remove(self, volume_id: str, what: str) -> Remains | None:
        """Rename it away, to be cleared; where nothing is cleared, remove it."""
        names, group = self._site.names, self._site.lvm.look()
        name, quarantine = names.volume(volume_id), names.quarantine(volume_id)
        self._forget_still(names.still(volume_id), group, what)
        found = group.volumes.get(name)
        if found is None:
            return _remains(group.volumes.get(quarantine))
        if taken := [each.name for each in group.snapshots_of(name)]:
            reason = f"LVM would remove with it: {', '.join(taken)}"
            raise BackendBusy(what=what, backend=self._site.backend, reason=reason)
        self._site.refuse_open(found, what)
        if self._site.options.volume_clear == "none" or quarantine in group.volumes:
            self._site.remove(name, what)
            return _remains(group.volumes.get(quarantine))
        self._rename(name, quarantine, what)
        return _remains(found)

    def remove_snapshot(self, name: str, what: str) -> None:
        self._site.remove(name, what)

    def purge(self, volume_id: str, progress: Progress) -> None:
        """Clear what ``remove`` renamed, and free it."""
        name, what = self._site.names.quarantine(volume_id), f"what is left of volume {volume_id}"
        found = self._site.lvm.look().volumes.get(name)
        if found is None:
            return
        self._site.refuse_open(found, what)
        device, size = self._site.device(name, what)
        options = self._site.options
        end = min(size, options.volume_clear_size * MIB or size)
        with self._written(name, what) as opened:
            clear(opened, 0, end, self._site.position(device, WIPED), progress, options.volume_clear_rate * MIB)
        self._site.remove(name, what)

    def revert(self, volume_id: str, snapshot: str, size: int, what: str, progress: Progress) -> None:
        """Write what differs from the snapshot, which stays; a part that it never had is cleared."""
        name, group = self._site.names.volume(volume_id), self._site.lvm.look()
        self._site.find(snapshot, f"the snapshot for {what}", group)
        self._site.refuse_open(self._site.find(name, what, group), what)
        _, length = self._site.device(snapshot, what)
        target, end = self._site.device(name, what)
        with self._written(name, what) as opened:
            with self._site.lvm.opened(snapshot, writable=False) as source:
                overwrite(source, opened, progress)
            position = self._site.position(target)
            position.forget()
            clear(opened, length, end, position, progress)
            position.forget()

    def is_whole(self, found: LogicalVolume, size: int) -> bool:
        is_cleared = (_uncleared(found) or found.size) >= found.size
        return not found.pool and found.size >= size and UNREADY not in found.tags and is_cleared

    def is_whole_snapshot(self, found: LogicalVolume, origin: str, size: int) -> bool:
        return found.origin == origin

    def capacity(self, group: Group) -> tuple[int, int]:
        """Bytes of the group, and of it free."""
        copies = 1 + self._mirrors
        return group.size // copies, group.free // copies

    def foreign(self, group: Group) -> int:
        """Bytes in the group that are no volume's: others', and the room of snapshots, which no row counts."""
        mark = self._site.names.mark
        volumes = (each for each in group.volumes.values() if mark in each.tags and not each.origin)
        ours = sum(each.size for each in volumes) * (1 + self._mirrors)
        return max(0, group.size - group.free - ours) // (1 + self._mirrors)

    def _allocate(self, name: str, size: int, what: str, progress: Progress) -> bool:
        """Have its extents; True when they are still to be filled."""
        where = ["-L", f"{size}b", "-n", name, "-Wn", "-Zn", *self._copies(size), *self._site.labels(name, UNREADY)]
        try:
            self._site.lvm.change("create", "lvcreate", "-y", *where, self._site.lvm.group)
        except Refused as refused:
            group = self._site.lvm.look()
            found = group.volumes.get(name)
            if found is None:
                self._refuse_full(size, group, what)
                raise self._site.failed(what, refused) from refused
            if found.size < size and UNREADY not in found.tags:
                self.grow(name, size, what, progress)
            return UNREADY in found.tags
        self._site.lvm.made(LogicalVolume(name, size, frozenset({UNREADY, *self._site.names.tags(name)})))
        return True

    def _fill(self, source: str, name: str, size: int, what: str, progress: Progress) -> None:
        """From a snapshot as it is; from a volume by way of an instant of it, which goes when it is read."""
        still = self._site.names.still(name.removeprefix("volume-"))
        is_volume = source.startswith("volume-")
        if is_volume:
            self.snapshot(source, still, f"an instant for {what}")
        read = still if is_volume else source
        self._site.device(read, f"the source of {what}")
        device, _ = self._site.device(name, what)
        with self._written(name, what) as opened, self._site.lvm.opened(read, writable=False) as taken:
            copy(taken, opened, size, self._site.position(device), progress)
        if is_volume:
            self._site.remove(still, what)

    @contextmanager
    def _written(self, name: str, what: str) -> Iterator[int]:
        """Its device, open to be written; what the system says of it is said in the backend's family."""
        with self._site.translated(what), self._site.lvm.opened(name, writable=True) as opened:
            yield opened

    def _forget(self, name: str, what: str) -> None:
        """The volume first: without it nothing goes on from what an instant that is gone had."""
        group = self._site.lvm.look()
        self._site.remove(name, what)
        self._forget_still(self._site.names.still(name.removeprefix("volume-")), group, what)

    def _forget_still(self, still: str, group: Group, what: str) -> None:
        if still in group.volumes:
            self._site.remove(still, what)

    def _ready(self, name: str, what: str) -> None:
        try:
            self._site.lvm.change("ready", "lvchange", "-y", "--deltag", UNREADY, self._site.path(name))
        except Refused as refused:
            raise self._site.failed(what, refused) from refused
        with contextlib.suppress(OSError):
            self._site.position(self._site.lvm.device(name)).forget()

    def _take(self, origin: str, name: str) -> None:
        room = ["-l", "100%ORIGIN", "-n", name]
        where = self._site.path(origin)
        self._site.lvm.change("snapshot", "lvcreate", "-y", "-s", *room, *self._site.labels(name), where)
        self._site.lvm.forget()

    def _change(self, what: str, point: str, *command: str) -> None:
        try:
            self._site.lvm.change(point, *command)
        except Refused as refused:
            raise self._site.failed(what, refused) from refused
        self._site.lvm.forget()

    def _rename(self, old: str, new: str, what: str) -> None:
        try:
            self._site.rename(old, new)
        except Refused as refused:
            raise self._site.failed(what, refused) from refused

    def _refuse_full(self, size: int, group: Group, what: str) -> None:
        needed = size * (1 + self._mirrors)
        if needed > group.free:
            reason = f"{needed} bytes are needed, {group.free} are free in {self._site.lvm.group}"
            raise self._site.full(what, reason)

    def _copies(self, size: int) -> list[str]:
        if not self._mirrors:
            return []
        return ["-m", str(self._mirrors), "--nosync", *region_size(size)]


def region_size(size: int) -> list[str]:
    """The option for the regions of a mirror, from 1.5 TiB on: as many MiB as the next power of two of its TiB.

    Source: lvcreate(8): with 512 KiB a mirror cannot be larger than 1.5 TiB.
    """
    tebibytes = size / TIB
    return ["-R", str(1 << math.ceil(math.log2(tebibytes)))] if tebibytes >= 1.5 else []


def _uncleared(found: LogicalVolume) -> int | None:
    """From which byte on it is not cleared yet, where it was grown and its process died."""
    starts = [int(tag.removeprefix(UNCLEARED)) for tag in found.tags if tag.startswith(UNCLEARED)]
    return min(starts) if starts else None


def _remains(found: LogicalVolume | None) -> Remains | None:
    return None if found is None else Remains(f"{found.size} bytes of it are cleared before they are free")

"""Thin volumes of one pool: they read as zeros until written, and snapshots and clones share what they have in common.

Each change is one command, which LVM does whole or not at all.
"""

import contextlib

from volumed.driver.errors import BackendFull, BackendInvalid, BackendUnreachable
from volumed.driver.interface import Progress, Remains, unwatched
from volumed_drivers.lvm.commands import Group, LogicalVolume, Refused
from volumed_drivers.lvm.governor import Governor
from volumed_drivers.lvm.names import FORMERLY
from volumed_drivers.lvm.site import Site

MIB = 1024**2
GIB = 1024**3

#: Bytes of a pool's chunks, and of its metadata for each. Source: thin_metadata_size(8), twice that for snapshots.
CHUNK, OF_CHUNK = 64 * 1024, 128

#: What LVM can use of metadata. Source: lvmthin(7), "Metadata space exhaustion": about 16 GiB.
LEAST_METADATA, MOST_METADATA = 16 * MIB, 15 * GIB

#: A pool that takes no change until an administrator has repaired it. Source: lvs(8), "Volume Health"; tried.
BROKEN = ("failed", "metadata_read_only")

#: How LVM calls what a pool is made of, behind the pool's name. Source: lvmthin(7).
PARTS = ("_tmeta", "_tdata")

#: Part of a group that a pool made by us takes, beside twice its metadata: the rest is for repairs and growth.
SHARE = 0.95


class Thin:
    """The thin volumes of one group."""

    name = "thin"

    def __init__(self, site: Site, pool: str, governor: Governor) -> None:
        self._site = site
        self._pool = pool
        self._governor = governor

    def prepare(self, group: Group) -> None:
        """Make the pool where there is none. Raises ``BackendInvalid``, ``BackendFull``."""
        found = group.volumes.get(self._pool)
        if found is not None and found.segtype != "thin-pool":
            if self._site.names.mark not in found.tags:
                reason = f"{self._site.path(self._pool)} is there and no thin pool (lvm_thin_pool)"
                raise BackendInvalid(backend=self._site.backend, what="the thin pool", reason=reason)
            self._site.remove(self._pool, "a half-made thin pool")
            found = None
        if found is None:
            self._make_pool(self._site.lvm.look())

    def check(self, group: Group) -> None:
        """Raise ``BackendUnreachable`` while the pool is broken; free it from what a killed activation has left.

        LVM forgets a volume that it could not remove from such a pool, and the repaired pool does not fit then.
        """
        self._release_parts()
        pool = group.volumes.get(self._pool)
        if pool is not None and pool.health in BROKEN:
            place = self._site.path(self._pool)
            reason = f"thin pool {place} is {pool.health}: lvconvert --repair (docs/drivers/lvm.md, Recovery)"
            raise BackendUnreachable(backend=self._site.backend, reason=reason)

    def make(self, name: str, size: int, what: str, progress: Progress = unwatched) -> None:
        """An empty volume of ``size`` bytes; one that is there is grown to it."""
        self._admit(what)
        where = ["-T", self._site.path(self._pool), "-V", f"{size}b", "-n", name]
        try:
            self._site.lvm.change("create", "lvcreate", "-y", *where, *self._site.labels(name))
        except Refused as refused:
            self._finish(name, size, what, refused)
        tags = frozenset(self._site.names.tags(name))
        self._site.lvm.made(LogicalVolume(name, size, tags, pool=self._pool, data_percent=0.0))

    def snapshot(self, origin: str, name: str, what: str) -> None:
        """An instant of ``origin``; it is not activated."""
        self._admit(what)
        try:
            self._share(origin, name, "-k", "y")
        except Refused as refused:
            group = self._site.lvm.look()
            self._site.find(origin, f"the volume of {what}", group)
            if name not in group.volumes:
                self._admit(what)
                raise self._site.failed(what, refused) from refused

    def copy(self, source: str, name: str, size: int, what: str, progress: Progress) -> None:
        """A volume with what ``source`` has now, grown to ``size`` bytes."""
        self._admit(what)
        try:
            self._share(source, name, "-k", "n", "-K", "-ay")
        except Refused as refused:
            self._site.find(source, f"the source of {what}")
            self._finish(name, size, what, refused)
            return
        _, length = self._site.device(name, what)  # which is active, and tells without a command
        if length < size:
            self.grow(name, size, what)

    def grow(self, name: str, size: int, what: str, progress: Progress = unwatched) -> None:
        """Have it be ``size`` bytes, at least."""
        self._admit(what)
        self._lengthen(name, size, what)

    def remove(self, volume_id: str, what: str) -> Remains | None:
        """Remove the volume, and what a killed revert left of it: its space is free at once."""
        self.check(self._site.lvm.known())
        names = self._site.names
        self._site.remove(names.volume(volume_id), what)
        known = self._site.lvm.known().volumes
        for name in (names.reverted(volume_id), names.replaced(volume_id)):
            if name in known:
                self._site.remove(name, what)
        return None

    def remove_snapshot(self, name: str, what: str) -> None:
        self.check(self._site.lvm.known())
        self._site.remove(name, what)

    def revert(self, volume_id: str, snapshot: str, size: int, what: str, progress: Progress) -> None:
        """Exchange the volume for a new one that shares the snapshot's data."""
        names = self._site.names
        name, new, old = names.volume(volume_id), names.reverted(volume_id), names.replaced(volume_id)
        group = self._site.lvm.look()
        self.check(group)
        self._site.find(snapshot, f"the snapshot for {what}", group)
        try:
            if old not in group.volumes:
                self._prepare_exchange(group, name, new, snapshot, size, what)
                self._site.rename(name, old)
                group = self._site.lvm.look()
            if name not in group.volumes:
                self._site.rename(new, name)
            self._label(group, name, old)
        except Refused as refused:
            raise self._site.failed(what, refused) from refused
        self._site.remove(old, what)

    def _label(self, group: Group, name: str, old: str) -> None:
        """Have the new volume's tags be what the old one's were: what it was called before it was managed is in one."""
        formerly = {tag for tag in group.volumes[old].tags if tag.startswith(FORMERLY)}
        found = group.volumes.get(name)
        wanted = sorted({*self._site.names.tags(name), *formerly} - (found.tags if found else set()))
        words = [word for tag in wanted for word in ("--addtag", tag)]
        if words:
            self._site.lvm.change("tag", "lvchange", "-y", *words, self._site.path(name))

    def is_whole(self, found: LogicalVolume, size: int) -> bool:
        return found.pool == self._pool and found.size >= size

    def is_whole_snapshot(self, found: LogicalVolume, origin: str, size: int) -> bool:
        return self.is_whole(found, size)

    def capacity(self, group: Group) -> tuple[int, int | None]:
        """Bytes of the pool, and of it free: none where it takes no more, unknown while it is inactive after a boot."""
        pool = group.volumes.get(self._pool)
        if pool is None:
            return 0, 0
        if pool.data_percent is None:
            return pool.size, None
        return pool.size, 0 if self._governor.refusal(pool) else pool.size - pool.data_bytes

    def foreign(self, group: Group) -> int:
        """Bytes in the pool that are not ours, as far as LVM tells: it does not of what is inactive."""
        mark = self._site.names.mark
        others = [each for each in group.volumes.values() if each.pool == self._pool and mark not in each.tags]
        pool = group.volumes.get(self._pool)
        return min(sum(each.data_bytes for each in others if each.active), pool.data_bytes if pool else 0)

    def _prepare_exchange(self, group: Group, name: str, new: str, snapshot: str, size: int, what: str) -> None:
        self._site.refuse_open(self._site.find(name, what, group), what)
        if new in group.volumes:  # of an earlier attempt, and perhaps not of its whole size
            self._site.remove(new, what)
        try:
            self._share(snapshot, new, "-k", "n", "-K", "-ay")
        except Refused:
            self._site.lvm.look()
            self._admit(what)
            raise
        if group.volumes[snapshot].size < size:
            self._lengthen(new, size, what)

    def _lengthen(self, name: str, size: int, what: str) -> None:
        """It takes no room: a volume is promised its size, and takes what is written."""
        try:
            self._site.lvm.change("extend", "lvextend", "-y", "-L", f"{size}b", self._site.path(name))
        except Refused as refused:
            if self._site.find(name, what).size < size:
                raise self._site.failed(what, refused) from refused
        self._site.lvm.forget()

    def _share(self, origin: str, name: str, *how: str) -> None:
        labels = self._site.labels(name)
        self._site.lvm.change("share", "lvcreate", "-y", "-s", "-n", name, *how, *labels, self._site.path(origin))
        shared = self._site.lvm.known().volumes.get(origin)
        if shared is None:
            self._site.lvm.forget()
        else:
            tags = frozenset(self._site.names.tags(name))
            self._site.lvm.made(LogicalVolume(name, shared.size, tags, origin=origin, pool=self._pool))

    def _finish(self, name: str, size: int, what: str, refused: Refused) -> None:
        """What a killed command left is there, and perhaps not active or too small."""
        found = self._site.lvm.look().volumes.get(name)
        if found is None or found.pool != self._pool:
            self._admit(what)
            raise self._site.failed(what, refused)
        if not found.active:
            self._activate_or_remove(name, what)
        if found.size < size:
            self.grow(name, size, what)

    def _activate_or_remove(self, name: str, what: str) -> None:
        """Have it active. What LVM has noted and the pool has not, as after a kill, goes, and the repeat makes it anew.

        Nothing is removed unless the pool can be activated: another would be forgotten and still be in it.
        """
        try:
            self._site.activate(name)
        except Refused as refused:
            try:
                self._site.activate(self._pool)
            except Refused as broken:
                raise self._site.failed(what, broken) from broken
            self.check(self._site.lvm.look())
            self._site.remove(name, what)
            raise self._site.failed(what, refused) from refused

    def _release_parts(self) -> None:
        """Deactivate the pool's metadata and data where they are active without it: LVM would not activate it then."""
        parts = [f"{self._pool}{part}" for part in PARTS]
        if any(self._site.is_left_active(part) for part in parts):
            with contextlib.suppress(Refused):  # somebody is just activating it
                self._site.lvm.change("release", "lvchange", "-y", "-an", *map(self._site.path, parts))

    def _admit(self, what: str) -> None:
        group = self._site.lvm.known()
        self.check(group)
        pool = group.volumes.get(self._pool)
        reason = "the pool is gone" if pool is None else self._governor.refusal(pool)
        if reason:
            raise BackendFull(backend=self._site.backend, what=what, reason=reason)

    def _make_pool(self, group: Group) -> None:
        size, metadata, chunk = pool_sizes(group.free)
        if size < group.extent:
            raise self._site.full("a thin pool", f"{self._site.lvm.group} has {group.free} bytes free")
        sizes = ["-L", f"{size}b", "--poolmetadatasize", f"{metadata}b", "-c", f"{chunk}b", "-Zy"]
        labels = ["--addtag", self._site.names.mark]
        where = ["-T", self._site.path(self._pool)]
        try:
            self._site.lvm.change("pool", "lvcreate", "-y", *sizes, *labels, *where)
        except Refused as refused:
            raise self._site.failed("a thin pool", refused) from refused
        self._site.lvm.forget()


def pool_sizes(free: int) -> tuple[int, int, int]:
    """Bytes of a pool in ``free`` bytes, of its metadata (twice, for repairs), and of its chunks."""
    chunk = CHUNK
    while free / chunk * OF_CHUNK > MOST_METADATA:
        chunk *= 2
    metadata = max(LEAST_METADATA, int(free / chunk * OF_CHUNK))
    metadata = -(-metadata // (4 * MIB)) * 4 * MIB
    size = int(free * SHARE) - 2 * metadata
    return size // (4 * MIB) * 4 * MIB, metadata, chunk

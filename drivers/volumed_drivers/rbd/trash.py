"""Volumes that were deleted: into the trash at once, out of it when nothing lives on them any more.

Knows the pool's trash; an entry is the owner's by the mark on its image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendBusy
from volumed.driver.interface import Progress
from volumed_drivers.rbd import errors, signs
from volumed_drivers.rbd.headers import Header
from volumed_drivers.rbd.images import Images
from volumed_drivers.rbd.names import VOLUME, is_clone_snapshot, volume_name
from volumed_drivers.rbd.opened import opened, refuse_if_watched
from volumed_drivers.rbd.relay import Relay


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of the owner's in the trash. ``volume_id`` by its mark, which a half-made clone has of its source.

    ``header`` is None where a removal was interrupted after everything but the entry had gone.
    """

    image_id: str
    name: str
    volume_id: str
    kept_until: datetime
    header: Header | None

    @property
    def size(self) -> int:
        """Bytes that it promised."""
        return 0 if self.header is None else self.header.size


@dataclass(frozen=True, slots=True)
class Trash:
    """``delay``: seconds for which an image is kept in it. Raises as Ceph's modules do, and the family."""

    images: Images
    delay: int

    def move(self, volume_id: str) -> None:
        """Move the volume's image there; its name is free then. One that is not there, or there already, is fine."""
        name = volume_name(volume_id)
        crash_point("rbd.trash.before")
        if not self._moved(name) and self.images.renaming.settle(name):
            self._moved(name)
        crash_point("rbd.trash.after")

    def finish(self, volume_id: str) -> list[Entry]:
        """What is in the trash of a volume whose name leads to nothing: a move there, if interrupted, is ended now.

        librbd notes the entry, takes the name away, then the directory's, and says last that the entry is whole; until
        then it is not removed. What the directory still has, and nobody else, was left by a removal, which is ended.
        """
        name, entries = volume_name(volume_id), list(self.entries(volume_id))
        listed = self.images.headers.listed_id(name)
        if entries and (listed is None or listed in {entry.image_id for entry in entries}):
            self.move(volume_id)
        elif listed is not None and not entries and self._is_nobodys(name, listed):
            self.images.remove(name)
        return entries

    def entries(self, volume_id: str | None = None) -> Iterator[Entry]:
        """The owner's, of one volume or of all. One without a header, and so without a mark, only for its volume's id.

        Whosever that is: all that a removal does after the header is to take the entry away.
        """
        connection = self.images.connection
        wanted = None if volume_id is None else volume_name(volume_id)
        for found in self._rbd.trash_list(connection.ioctx):
            if wanted is not None and found["name"] != wanted:
                continue
            header, its_volume = self.images.headers.read(found["id"]), volume_id
            if header is not None:
                if not self.images.marker.is_ours(header.metadata):
                    continue
                its_volume = header.metadata.get(VOLUME, "")
            if its_volume is not None:
                yield Entry(found["id"], found["name"], its_volume, found["deferment_end_time"], header)

    def purge(self, entry: Entry, progress: Progress) -> None:
        """Free it. ``BackendBusy`` while a clone lives on it, a client has it open, or its time is not over."""
        what = f"volume {entry.volume_id} in the trash"
        if entry.header is not None:
            self._remove_clone_snapshots(entry.header)
        relay = Relay(progress)
        crash_point("rbd.purge.before")
        try:
            # Not by librbd's progress: told of each object, Python takes fifty times as long as the removal.
            signs.carry_out(lambda: self._remove(entry), self.images.is_answered, relay, entry.size)
        except self._error as error:
            self._judge(entry, what, error)
        crash_point("rbd.purge.after")
        relay.settle()

    def _is_nobodys(self, name: str, image_id: str) -> bool:
        """Whether the directory alone has it, as librbd's removal leaves it: an image in the making has its name."""
        headers = self.images.headers
        return headers.id_of(name) is None and headers.read(image_id) is None

    def _remove_clone_snapshots(self, header: Header) -> None:
        for snapshot in header.user_snapshots:
            if is_clone_snapshot(snapshot.name):
                self.images.remove_snapshot_of(header, snapshot.name)

    def _moved(self, name: str) -> bool:
        """Whether the directory had the name, or an entry was half there."""
        ioctx = self.images.connection.ioctx
        try:
            self._rbd.trash_move(ioctx, name, self.delay)
        except self._error as error:
            if not errors.is_missing(error) or name in self._rbd.list(ioctx):
                raise self.images.full_if_missing(name, error) from error
            return False
        return True

    def _remove(self, entry: Entry) -> None:
        ioctx = self.images.connection.ioctx
        try:
            self._rbd.trash_remove(ioctx, entry.image_id)
        except self._error as error:
            if not errors.is_half_moved(error):
                raise
            self._moved(entry.name)
            self._rbd.trash_remove(ioctx, entry.image_id)

    def _judge(self, entry: Entry, what: str, error: Exception) -> None:
        """Return where the entry is gone; raise what keeps it."""
        connection, rbd = self.images.connection, self.images.connection.modules.rbd
        if isinstance(error, rbd.ImageHasSnapshots):
            with opened(connection, image_id=entry.image_id, read_only=True) as image:
                raise self._needed(what, image) from error
        if isinstance(error, rbd.PermissionError) and not self._is_over(entry):
            reason = f"it is kept until {entry.kept_until.isoformat()}Z (deferred_deletion_delay)"
            raise BackendBusy(what=what, backend=connection.backend, reason=reason) from error
        if isinstance(error, rbd.ImageBusy):
            refuse_if_watched(connection, what, entry.image_id)
            raise error
        if not errors.is_missing(error):
            raise error
        if any(found["id"] == entry.image_id for found in self._rbd.trash_list(connection.ioctx)):
            raise self.images.full_if_missing(what, error) from error

    def _needed(self, what: str, image: Any) -> BackendBusy:
        taken = [found["name"] for found in image.list_snaps() if found["namespace"] == 0]
        if taken:
            reason = f"it has snapshots: {', '.join(sorted(taken))}"
            return BackendBusy(what=what, backend=self.images.connection.backend, reason=reason)
        return self.images.lived_on(what, image)

    @staticmethod
    def _is_over(entry: Entry) -> bool:
        """librbd knows the end to less than a second, and tells it in whole ones."""
        return entry.kept_until + timedelta(seconds=1) <= datetime.utcnow()

    @property
    def _rbd(self) -> Any:
        return self.images.connection.modules.rbd.RBD()

    @property
    def _error(self) -> Any:
        return self.images.connection.modules.rbd.Error

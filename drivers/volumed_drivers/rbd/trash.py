"""Volumes that were deleted: into the trash at once, out of it when nothing lives on them any more.

Knows the pool's trash; an entry is the owner's by the mark on its image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendBusy
from volumed.driver.interface import Progress
from volumed_drivers.rbd import errors
from volumed_drivers.rbd.headers import Header
from volumed_drivers.rbd.images import Images
from volumed_drivers.rbd.names import VOLUME, is_clone_snapshot, volume_name
from volumed_drivers.rbd.opened import opened, refuse_if_watched
from volumed_drivers.rbd.relay import Relay


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of the owner's in the trash. ``volume_id`` by its mark, which a half-made clone has of its source."""

    image_id: str
    name: str
    volume_id: str
    kept_until: datetime
    header: Header


@dataclass(frozen=True, slots=True)
class Trash:
    """``delay``: seconds for which an image is kept in it. Raises as Ceph's modules do, and the family."""

    images: Images
    delay: int

    def move(self, volume_id: str) -> None:
        """Move the volume's image there; its name is free then."""
        ioctx, name = self.images.connection.ioctx, volume_name(volume_id)
        crash_point("rbd.trash.before")
        try:
            self._rbd.trash_move(ioctx, name, self.delay)
        except self._error as error:
            if not errors.is_missing(error) or name in self._rbd.list(ioctx):
                raise self.images.full_if_missing(name, error) from error
        crash_point("rbd.trash.after")

    def entries(self, volume_id: str | None = None) -> Iterator[Entry]:
        """The owner's, of one volume or of all."""
        connection = self.images.connection
        wanted = None if volume_id is None else volume_name(volume_id)
        for found in self._rbd.trash_list(connection.ioctx):
            if wanted is not None and found["name"] != wanted:
                continue
            header = self.images.headers.read(found["id"])
            if header is not None and self.images.marker.is_ours(header.metadata):
                its_volume = header.metadata.get(VOLUME, "")
                yield Entry(found["id"], found["name"], its_volume, found["deferment_end_time"], header)

    def purge(self, entry: Entry, progress: Progress) -> None:
        """Free it. ``BackendBusy`` while a clone lives on it, a client has it open, or its time is not over."""
        what = f"volume {entry.volume_id} in the trash"
        for snapshot in entry.header.user_snapshots:
            if is_clone_snapshot(snapshot.name):
                self.images.remove_snapshot_of(entry.header, snapshot.name)
        relay = Relay(progress)
        crash_point("rbd.purge.before")
        try:
            self._rbd.trash_remove(self.images.connection.ioctx, entry.image_id, on_progress=relay)
        except self._error as error:
            self._judge(entry, what, error)
        crash_point("rbd.purge.after")
        relay.settle()

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
        return entry.kept_until <= datetime.utcnow()

    @property
    def _rbd(self) -> Any:
        return self.images.connection.modules.rbd.RBD()

    @property
    def _error(self) -> Any:
        return self.images.connection.modules.rbd.Error

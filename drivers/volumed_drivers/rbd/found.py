"""Everything in the pool that carries the owner's mark, and the removal of one such thing by itself.

Places are spelled as Ceph's commands spell them: ``pool/image``, ``pool/image@snapshot``; of an image in the trash
``pool/trash/ID``.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass

from volumed.driver.errors import BackendBusy, BackendInvalid
from volumed.driver.interface import Leftover, unwatched
from volumed_drivers.rbd.headers import Header
from volumed_drivers.rbd.images import Images
from volumed_drivers.rbd.names import (
    VOLUME,
    clone_snapshot_name,
    id_of_clone_snapshot,
    id_of_snapshot,
    is_clone_snapshot,
    snapshot_name,
    volume_name,
)
from volumed_drivers.rbd.opened import refuse_if_watched
from volumed_drivers.rbd.trash import Entry, Trash


@dataclass(frozen=True, slots=True)
class Found:
    """Raises as Ceph's modules do, and the family."""

    images: Images
    trash: Trash

    def data(self) -> Iterator[Leftover]:
        """Volumes, snapshots and what is left of others: half-made ones and those in the trash."""
        self.images.register.confirm()
        making = frozenset(self.images.register.intents())
        half_made = set(making)
        for name, header in self.images.headers.all():
            volume_id = header.metadata.get(VOLUME, "")
            if name == volume_name(volume_id or "-"):
                half_made.discard(volume_id)  # whole, whoever made it
                if self.images.marker.is_ours(header.metadata):
                    yield from self._image(volume_id, header, making)
        for volume_id in sorted(half_made):
            yield Leftover("temporary", volume_id, self._place(volume_name(volume_id)), "made in part")
        for entry in self.trash.entries():
            detail = f"{entry.name} in the trash, {entry.size} bytes"
            yield Leftover("remains", entry.volume_id, self._place(f"trash/{entry.image_id}"), detail)

    def remove(self, left: Leftover) -> None:
        """Remove one of ``data``; an absent one is fine. Raises ``BackendInvalid`` for any other."""
        if left.id is None or not left.where.startswith(f"{self.images.connection.place}/"):
            raise self._strange(left)
        place = left.where.removeprefix(f"{self.images.connection.place}/")
        if left.kind == "volume" and place == volume_name(left.id):
            self._remove_volume(left.id)
        elif left.kind == "snapshot" and "@" in place:
            self._remove_snapshot(left.id, place)
        elif left.kind == "remains" and place.startswith("trash/"):
            self._remove_trashed(left.id, place.removeprefix("trash/"))
        elif left.kind == "temporary" and "@" in place:
            self._remove_clone_snapshot(left.id, place)
        elif left.kind == "temporary":
            self._remove_half_made(left.id)
        else:
            raise self._strange(left)

    def _image(self, volume_id: str, header: Header, making: Set[str]) -> Iterator[Leftover]:
        name = volume_name(volume_id)
        detail, size = f"{header.size} bytes", header.size
        if (lost := self.images.headers.lost_parent(header)) is not None:
            detail, size = f"{detail}, and {lost}", 0
        yield Leftover("volume", volume_id, self._place(name), detail, size)
        for entry in header.user_snapshots:
            place = self._place(f"{name}@{entry.name}")
            if (snapshot_id := id_of_snapshot(entry.name)) is not None:
                yield Leftover("snapshot", snapshot_id, place, f"{entry.size} bytes", entry.size)
            elif (clone_id := id_of_clone_snapshot(entry.name)) is not None and clone_id not in making:
                yield Leftover("temporary", clone_id, place, f"taken for volume {clone_id}, which nobody is making")

    def _remove_volume(self, volume_id: str) -> None:
        found = self.images.whole(volume_id)
        if found is None:
            return
        what = f"volume {volume_id}"
        taken = [entry.name for entry in found.user_snapshots if not is_clone_snapshot(entry.name)]
        if taken:
            reason = f"it has snapshots: {', '.join(sorted(taken))}"
            raise BackendBusy(what=what, backend=self.images.connection.backend, reason=reason)
        refuse_if_watched(self.images.connection, what, found.image_id)
        self.trash.move(volume_id)
        self._remove_trashed(volume_id, found.image_id)

    def _remove_snapshot(self, snapshot_id: str, place: str) -> None:
        if place.endswith(f"@{snapshot_name(snapshot_id)}"):
            self._remove_from_ours(place)

    def _remove_clone_snapshot(self, volume_id: str, place: str) -> None:
        if place.endswith(f"@{clone_snapshot_name(volume_id)}") and self.images.register.intent(volume_id) is None:
            self._remove_from_ours(place)

    def _remove_from_ours(self, place: str) -> None:
        image, _, name = place.partition("@")
        found = self.images.headers.find(image)
        if found is not None and self.images.marker.is_ours(found.metadata):
            self.images.remove_snapshot_of(found, name)

    def _remove_trashed(self, volume_id: str, image_id: str) -> None:
        for entry in self._entries(volume_id):
            if entry.image_id == image_id:
                self.trash.purge(entry, unwatched)

    def _remove_half_made(self, volume_id: str) -> None:
        intent = self.images.register.intent(volume_id)
        if intent is None:
            return
        if self.images.whole(volume_id) is None:
            self.images.discard(volume_id, intent)
        self.images.register.forget_intent(volume_id)

    def _entries(self, volume_id: str) -> list[Entry]:
        return [entry for entry in self.trash.entries() if entry.volume_id == volume_id]

    def _place(self, name: str) -> str:
        return f"{self.images.connection.place}/{name}"

    def _strange(self, left: Leftover) -> BackendInvalid:
        backend = self.images.connection.backend
        return BackendInvalid(backend=backend, what=left.where, reason="nothing that an audit of this pool found")

"""Images and snapshots that others made: listed, taken over under our names with our mark, and given back.

What a thing was called, and how large it was, is in the register from before the first change until it is given back.
Knows nothing of how volumes are made.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendInvalid, BackendNotFound
from volumed.driver.interface import Manageable, Reference
from volumed_drivers.rbd import errors
from volumed_drivers.rbd.headers import Header, SnapshotEntry
from volumed_drivers.rbd.images import Images
from volumed_drivers.rbd.names import (
    BACKEND,
    DEPLOYMENT,
    VOLUME,
    id_of_snapshot,
    is_called_as_ours,
    is_clone_snapshot,
    snapshot_name,
    volume_name,
)
from volumed_drivers.rbd.opened import opened, refuse_if_watched

GIB: Final = 1024**3

#: The only key of a reference: of an image its name, of a snapshot ``IMAGE@SNAPSHOT``.
NAME: Final = "source-name"


@dataclass(frozen=True, slots=True)
class Managing:
    """Raises as Ceph's modules do, and the family."""

    images: Images

    def volumes(self) -> Iterator[Manageable]:
        """Every image of the pool, the owner's too."""
        making = set(self.images.register.intents())
        for name, header in self.images.headers.all():
            its_id = self._id_of(name, header)
            reason = self._unfit(name, header)
            if reason is None and name.removeprefix("volume-") in making:
                reason = "it is being made"
            yield Manageable({NAME: name}, _gib(header.size), reason is None, reason, its_id)

    def snapshots(self) -> Iterator[Manageable]:
        """Every snapshot of the owner's images."""
        for name, header in self.images.headers.all():
            if self._id_of(name, header) is None:
                continue
            for entry in header.user_snapshots:
                its_id, reason = id_of_snapshot(entry.name), _unfit_snapshot(entry)
                reference, source = {NAME: f"{name}@{entry.name}"}, {NAME: name}
                yield Manageable(reference, _gib(entry.size), reason is None, reason, its_id, source)

    def size(self, reference: Reference) -> int:
        """GiB, rounded up, of the image; ``BackendInvalid`` when it cannot be managed."""
        return _gib(self._fit(self._named(reference)).size)

    def snapshot_size(self, reference: Reference) -> int:
        """The same of a snapshot."""
        image, name = self._named_snapshot(reference)
        return _gib(self._fit_snapshot(image, name)[1].size)

    def take(self, volume_id: str, reference: Reference, size: int) -> None:
        """Make the image the volume, of ``size`` GiB."""
        if self.images.whole(volume_id) is not None:
            return
        final = volume_name(volume_id)
        former, found = self.images.register.former(volume_id), self.images.find(final)
        if former is None or found is None:
            self._rename(volume_id, self._named(reference), size)
        else:
            self._call(found.image_id, former["name"], final)
        found = self.images.find(final)
        if found is None:
            raise BackendNotFound(what=f"volume {volume_id}", backend=self._backend)
        if found.size < size * GIB:
            self._resize(found.image_id, size * GIB)
        self.images.set_mark(volume_id, found.image_id)

    def give(self, volume_id: str) -> None:
        """Call the image what it was called before, or by a name that is nobody's."""
        final = volume_name(volume_id)
        found, former = self.images.find(final), self.images.register.former(volume_id)
        if found is not None and former is None:
            if not self.images.marker.is_whole(found.metadata, volume_id):
                return
            former = {"name": f"unmanaged-{final}", "size": found.size}
            self.images.register.note_former(volume_id, former)
        if found is not None and former is not None:
            if self.images.register.intent(volume_id) is not None:  # it would be taken for half-made
                self.images.register.forget_intent(volume_id)
            self._give(found, final, former)
        if former is not None:
            self.images.register.forget_former(volume_id)

    def take_snapshot(self, volume_id: str, snapshot_id: str, reference: Reference) -> None:
        """Call the snapshot by our name; ``BackendInvalid`` when it is another volume's."""
        final = snapshot_name(snapshot_id)
        found = self.images.needed(volume_id)
        if found.snapshot(final) is not None:
            return
        image, name = self._named_snapshot(reference)
        if image != volume_name(volume_id):
            raise self._wrong(f"{image}@{name}", f"it is no snapshot of volume {volume_id}")
        self._fit_snapshot(image, name)
        self.images.register.note_former(snapshot_id, {"name": name})
        self._rename_snapshot(found, name, final)

    def give_snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Call the snapshot what it was called before, or by a name that is nobody's."""
        final = snapshot_name(snapshot_id)
        found, former = self.images.whole(volume_id), self.images.register.former(snapshot_id)
        if found is not None and found.snapshot(final) is not None:
            self._rename_snapshot(found, final, (former or {"name": f"unmanaged-{final}"})["name"])
        if former is not None:
            self.images.register.forget_former(snapshot_id)

    def _rename(self, volume_id: str, name: str, size: int) -> None:
        found = self._fit(name)
        if _gib(found.size) > size:
            raise self._wrong(name, f"it has {_gib(found.size)} GiB, and {size} were asked for")
        refuse_if_watched(self.images.connection, f"image {name}", found.image_id)
        self.images.register.note_former(volume_id, {"name": name, "size": found.size})
        self._call(found.image_id, name, volume_name(volume_id))

    def _give(self, found: Header, final: str, former: Any) -> None:
        refuse_if_watched(self.images.connection, f"image {final}", found.image_id)
        if former["size"] < found.size == _gib(former["size"]) * GIB and self._is_empty_behind(found, former["size"]):
            self._resize(found.image_id, former["size"])
        crash_point("rbd.unmark.before")
        for key in (VOLUME, BACKEND, DEPLOYMENT):
            self.images.headers.remove_metadata(found.image_id, key)
        crash_point("rbd.unmark.after")
        self._call(found.image_id, final, former["name"])

    def _call(self, image_id: str, name: str, wanted: str) -> None:
        """One that is called so already is fine."""
        try:
            self.images.renaming.rename(image_id, name, wanted)
        except self.images.connection.modules.rbd.Error as error:
            if errors.is_there(error):
                raise self._wrong(name, f"it cannot be called {wanted}: another image is") from error
            raise

    def _rename_snapshot(self, found: Header, name: str, wanted: str) -> None:
        crash_point("rbd.rename_snapshot.before")
        with opened(self.images.connection, image_id=found.image_id) as image:
            image.rename_snap(name, wanted)
        crash_point("rbd.rename_snapshot.after")

    def _resize(self, image_id: str, size: int) -> None:
        crash_point("rbd.manage.resize.before")
        with opened(self.images.connection, image_id=image_id) as image:
            image.resize(size)
        crash_point("rbd.manage.resize.after")

    def _is_empty_behind(self, found: Header, offset: int) -> bool:
        written: list[int] = []
        with opened(self.images.connection, image_id=found.image_id, read_only=True) as image:
            image.diff_iterate(offset, found.size - offset, None, lambda at, length, exists: written.append(at))
        return not written

    def _named(self, reference: Reference) -> str:
        name = reference.get(NAME)
        if set(reference) != {NAME} or not name or "/" in name or "@" in name or "\0" in name:
            raise self._wrong(repr(dict(reference)), f"the reference must be one name of an image: {{{NAME!r}: NAME}}")
        return name

    def _named_snapshot(self, reference: Reference) -> tuple[str, str]:
        image, _, name = reference.get(NAME, "").partition("@")
        if set(reference) != {NAME} or not image or not name or "/" in image:
            reason = f"the reference must be one name of a snapshot: {{{NAME!r}: 'IMAGE@SNAPSHOT'}}"
            raise self._wrong(repr(dict(reference)), reason)
        return image, name

    def _fit(self, name: str) -> Header:
        found = self.images.find(name)
        if found is None:
            raise BackendNotFound(what=f"image {name}", backend=self._backend)
        reason = self._unfit(name, found)
        if reason is not None:
            raise self._wrong(f"image {name}", reason)
        return found

    def _fit_snapshot(self, image: str, name: str) -> tuple[Header, SnapshotEntry]:
        found = self.images.find(image)
        taken = None if found is None else found.snapshot(name)
        if found is None or taken is None:
            raise BackendNotFound(what=f"snapshot {image}@{name}", backend=self._backend)
        reason = _unfit_snapshot(taken)
        if reason is not None:
            raise self._wrong(f"snapshot {image}@{name}", reason)
        return found, taken

    def _unfit(self, name: str, header: Header) -> str | None:
        if self._id_of(name, header) is not None:
            return "it is managed already"
        if DEPLOYMENT in header.metadata and not self.images.marker.is_ours(header.metadata):
            metadata = header.metadata
            return f"it belongs to backend {metadata.get(BACKEND)} of deployment {metadata[DEPLOYMENT]}"
        if "/" in name or "@" in name:
            return "its name cannot be told from a namespace's or a snapshot's"
        taken = [entry.name for entry in header.user_snapshots if is_called_as_ours(entry.name)]
        if taken:
            return f"it has snapshots with names as ours are; rename them first (rbd snap rename): {', '.join(taken)}"
        return "it is empty" if header.size == 0 else None

    def _id_of(self, name: str, header: Header) -> str | None:
        """The id of the volume that the image is."""
        its_id = header.metadata.get(VOLUME)
        is_it = its_id is not None and self.images.marker.is_ours(header.metadata) and name == volume_name(its_id)
        return its_id if is_it else None

    def _wrong(self, what: str, reason: str) -> BackendInvalid:
        return BackendInvalid(backend=self._backend, what=what, reason=reason)

    @property
    def _backend(self) -> str:
        return self.images.connection.backend


def _unfit_snapshot(entry: SnapshotEntry) -> str | None:
    if id_of_snapshot(entry.name) is not None:
        return "it is managed already"
    return "a volume is being cloned from it" if is_clone_snapshot(entry.name) else None


def _gib(size: int) -> int:
    return -(-size // GIB)

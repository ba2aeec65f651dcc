"""Images and their snapshots: made, grown, cloned, found.

An image is a volume once it has the volume's mark: that comes last. Before the first effect the register knows what is
about to be made, and by which client; what has no mark and that client's number was left by a kill, is removed, and
made again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendBusy, BackendError, BackendFull, BackendInvalid, BackendNotFound
from volumed.driver.interface import Progress
from volumed_drivers.rbd import asked_once, errors, signs
from volumed_drivers.rbd.connection import Connection, Link
from volumed_drivers.rbd.headers import Header, Headers
from volumed_drivers.rbd.names import Marker, clone_snapshot_name, volume_name
from volumed_drivers.rbd.opened import opened, refuse_if_watched
from volumed_drivers.rbd.register import Intent, Register
from volumed_drivers.rbd.relay import Relay
from volumed_drivers.rbd.renaming import Renaming

#: Names of clones that a refusal quotes.
MOST_QUOTED: Final = 5

#: Makes an image by that connection; gives its id.
Make = Callable[[Link], str | None]


@dataclass(frozen=True, slots=True)
class Images:
    """Of one pool. ``order``: objects have 2 to this power of bytes. Raises as Ceph's modules do, and the family."""

    connection: Connection
    headers: Headers
    register: Register
    marker: Marker
    order: int

    @property
    def renaming(self) -> Renaming:
        return Renaming(self.connection, self.headers)

    def find(self, name: str) -> Header | None:
        """The image that is called so; None only where the pool is there, and has none."""
        found = self.headers.find(name)
        if found is None:
            self.register.confirm()
        return found

    def whole(self, volume_id: str) -> Header | None:
        """The volume's image if it is complete."""
        found = self.find(volume_name(volume_id))
        return found if found is not None and self.marker.is_whole(found.metadata, volume_id) else None

    def needed(self, volume_id: str) -> Header:
        """The same, or ``BackendNotFound``; ``BackendInvalid`` where the image that it rests on is gone."""
        what, found = f"volume {volume_id}", self.whole(volume_id)
        if found is None:
            raise BackendNotFound(what=what, backend=self.connection.backend)
        if (reason := self.headers.lost_parent(found)) is not None:
            raise BackendInvalid(backend=self.connection.backend, what=what, reason=reason)
        return found

    def create(self, volume_id: str, size: int) -> None:
        """An image of ``size`` bytes that reads as zeros."""

        def make(link: Link) -> str | None:
            told = asked_once.of_new_images(self.connection, link)
            crash_point("rbd.create.before")
            self._rbd.create(link.ioctx, volume_name(volume_id), size, order=self.order, **told)
            crash_point("rbd.create.after")
            return self.headers.id_of(volume_name(volume_id))

        self._make(volume_id, "", make)

    def clone(self, volume_id: str, source_id: str, snapshot: str, size: int) -> None:
        """A clone of the source's snapshot, grown to ``size`` bytes. ``BackendNotFound``."""

        def make(link: Link) -> str | None:
            return self._clone(link, volume_id, source_id, snapshot, size)

        def is_there() -> None:
            if self.needed(source_id).snapshot(snapshot) is None:
                raise BackendNotFound(what=snapshot.replace("-", " ", 1), backend=self.connection.backend)

        self._make(volume_id, "", make, is_there)

    def clone_of_volume(self, volume_id: str, source_id: str, size: int) -> None:
        """A clone of the source as it is now, grown to ``size`` bytes. ``BackendNotFound``."""
        snapshot = clone_snapshot_name(volume_id)

        def make(link: Link) -> str | None:
            self.take_snapshot(source_id, snapshot)  # a retry goes on with the first attempt's: data of that moment
            image_id = self._clone(link, volume_id, source_id, snapshot, size)
            self.remove_snapshot(source_id, snapshot)
            return image_id

        self._make(volume_id, volume_name(source_id), make, lambda: self.needed(source_id))

    def extend(self, volume_id: str, size: int) -> None:
        """Grow to ``size`` bytes; never shrinks."""
        found = self.needed(volume_id)
        if found.size < size:
            self._resize(found.image_id, size)

    def take_snapshot(self, volume_id: str, name: str) -> None:
        """One that is there is fine."""
        found = self.needed(volume_id)
        if found.snapshot(name) is not None:
            return
        crash_point("rbd.snapshot.before")
        with opened(self.connection, image_id=found.image_id) as image:
            try:
                image.create_snap(name)
            except self._rbd_error as error:
                if not errors.is_there(error):
                    raise
        crash_point("rbd.snapshot.after")

    def remove_snapshot(self, volume_id: str, name: str) -> None:
        """An absent one is fine; clones of it live on. ``BackendBusy`` when an old one (format 1) needs it."""
        found = self.find(volume_name(volume_id))
        if found is not None:
            self.remove_snapshot_of(found, name)

    def remove_snapshot_of(self, found: Header, name: str) -> None:
        """The same, of whatever image."""
        if found.snapshot(name) is None:
            return
        crash_point("rbd.remove_snapshot.before")
        with opened(self.connection, image_id=found.image_id) as image:
            self._unprotect(image, name)
            try:
                image.remove_snap(name)
            except self._rbd_error as error:
                if not errors.is_missing(error) or self._has_snapshot(found.image_id, name):
                    raise self.full_if_missing(name, error) from error
        crash_point("rbd.remove_snapshot.after")

    def revert(self, volume_id: str, name: str, size: int, progress: Progress) -> None:
        """Make the image's data the snapshot's; it stays ``size`` bytes large. ``BackendNotFound``, ``BackendBusy``.

        librbd tells nothing of it; the progress is told that nothing is done for as long as the pool answers meanwhile.
        """
        found, relay = self.needed(volume_id), Relay(progress)
        if found.snapshot(name) is None:
            raise BackendNotFound(what=name.replace("-", " ", 1), backend=self.connection.backend)
        refuse_if_watched(self.connection, f"volume {volume_id}", found.image_id)
        crash_point("rbd.revert.before")
        with opened(self.connection, image_id=found.image_id) as image:
            signs.carry_out(lambda: image.rollback_to_snap(name), self.is_answered, relay, size)
        crash_point("rbd.revert.after")
        self.extend(volume_id, size)
        relay.settle()

    def discard(self, volume_id: str, intent: Intent) -> None:
        """Remove what was left half-made of the volume, with the snapshot that was taken for it.

        By the name alone it is not: a service of another node may have made the volume in this pool since. Raises
        ``BackendInvalid`` when the image is one that neither of them made.
        """
        name = volume_name(volume_id)
        image_id = self.headers.id_of(name) or self.headers.listed_id(name)
        is_ours = image_id is not None and intent.has_made(image_id)
        if is_ours:
            crash_point("rbd.discard.before")
            self.remove(name)
            crash_point("rbd.discard.after")
        source = self.headers.find(intent.image) if intent.image else None
        if source is not None:
            self.remove_snapshot_of(source, intent.snapshot)
        if image_id is not None and not is_ours and not self._is_anothers(volume_id, image_id):
            self.register.forget_intent(volume_id)
            raise self.foreign(volume_id)

    def _is_anothers(self, volume_id: str, image_id: str) -> bool:
        found = self.headers.read(image_id)
        return found is not None and self.marker.is_anothers(found.metadata, volume_id)

    def remove(self, name: str) -> None:
        """Remove the image for good, half-made by librbd too; an absent one is fine."""
        try:
            self._rbd.remove(self.connection.ioctx, name)
        except self._rbd_error as error:
            if not errors.is_missing(error) or name in self._rbd.list(self.connection.ioctx):
                raise self.full_if_missing(name, error) from error

    def foreign(self, volume_id: str) -> BackendInvalid:
        """Why the image is not touched."""
        return BackendInvalid(
            backend=self.connection.backend,
            what=f"image {self.connection.place}/{volume_name(volume_id)}",
            reason=f"it is there without the mark of volume {volume_id}, so somebody else made it",
        )

    def is_answered(self) -> bool:
        """Whether the pool answers now."""
        try:
            self.register.confirm()
        except (BackendError, self.connection.modules.rados.Error):
            return False
        return True

    def _make(self, volume_id: str, source: str, make: Make, check: Callable[[], object] | None = None) -> None:
        """Make the volume unless it is complete: ``make``, once ``check`` raises nothing, gives the image's id."""
        link = self.connection.link
        with self.register.making():
            intent = Intent([link.client], source, clone_snapshot_name(volume_id) if source else "")
            begun = self._begun(volume_id, intent, check)
            if begun is None:
                return
            image_id = self._made(volume_id, begun, lambda: make(link))
            if image_id is None:
                raise BackendNotFound(what=f"volume {volume_id}", backend=self.connection.backend)
            self.set_mark(volume_id, image_id)
            self.register.forget_made(volume_id)

    def _begun(self, volume_id: str, intent: Intent, check: Callable[[], object] | None) -> Intent | None:
        """As the register has it from now on; None where the volume is complete.

        A new one without a ``check`` costs no look: librbd refuses a name that is taken before it changes anything.
        """
        is_first = self.register.intend_first(volume_id, intent)
        if is_first and check is None:
            return intent
        known = intent if is_first else self.register.intent(volume_id)
        if self._made_before(volume_id, known) is not None:
            return None
        try:
            if check is not None:
                check()
        except BaseException:
            if is_first:  # or an earlier attempt has left something
                self.register.forget_intent(volume_id)
            raise
        if not is_first:
            intent = intent if known is None else intent.after(known)
            self.register.intend(volume_id, intent)
        return intent

    def _made_before(self, volume_id: str, known: Intent | None) -> str | None:
        """The id of the image if it is complete. What was left half-made is removed.

        ``BackendInvalid`` where it is somebody else's. Where nobody has its name, this costs one request.
        """
        image_id = self.headers.id_of(volume_name(volume_id))
        if image_id is None:
            return None
        found = self.headers.read(image_id)
        if found is not None and self.marker.is_whole(found.metadata, volume_id):
            if known is not None:
                self.register.forget_made(volume_id)
            return image_id
        if found is not None and (known is None or self.marker.is_anothers(found.metadata, volume_id)):
            if known is not None and not self.marker.is_counted(found.metadata):
                self.discard(volume_id, known)
                self.register.forget_intent(volume_id)  # of a service of ours it stays: the delete here knows by it
            raise self.foreign(volume_id)
        if known is not None:
            self.discard(volume_id, known)
        return None

    def _made(self, volume_id: str, intent: Intent, make: Callable[[], str | None]) -> str | None:
        """By ``make``, or before; again where the name is taken by what librbd was killed in the removal of.

        And where librbd has drawn the id of another image, which it takes back: it draws 32 bits.
        """
        try:
            return make()
        except self._rbd_error as error:
            if errors.is_drawn_twice(error):
                return make()
            if not errors.is_there(error):
                raise
        image_id = self._made_before(volume_id, intent)
        if image_id is not None:
            return image_id
        self.discard(volume_id, intent)
        return make()

    def set_mark(self, volume_id: str, image_id: str) -> None:
        """Say that the image is the volume, complete."""
        crash_point("rbd.mark.before")
        self.headers.set_metadata(image_id, self.marker.mark(volume_id))
        crash_point("rbd.mark.after")

    def _clone(self, link: Link, volume_id: str, source_id: str, snapshot: str, size: int) -> str | None:
        ioctx, name = link.ioctx, volume_name(volume_id)
        crash_point("rbd.clone.before")
        try:
            self._rbd.clone(ioctx, volume_name(source_id), snapshot, ioctx, name, order=self.order)
        except self._rbd_error as error:
            source = self.find(volume_name(source_id))
            if errors.is_missing(error) and source is not None and source.snapshot(snapshot) is not None:
                raise self.full_if_missing(snapshot, error) from error
            raise
        crash_point("rbd.clone.after")
        made = self.headers.find(name)
        if made is None:
            return None
        if made.size < size:
            self._resize(made.image_id, size)
        return made.image_id

    def _resize(self, image_id: str, size: int) -> None:
        crash_point("rbd.resize.before")
        with opened(self.connection, image_id=image_id) as image:
            image.resize(size)
        crash_point("rbd.resize.after")

    def _unprotect(self, image: Any, name: str) -> None:
        """Snapshots of others may be protected; volumed's are not."""
        if not image.is_protected_snap(name):
            return
        try:
            crash_point("rbd.unprotect.before")
            image.unprotect_snap(name)
            crash_point("rbd.unprotect.after")
        except self.connection.modules.rbd.ImageBusy as error:
            image.set_snap(name)
            raise self.lived_on(name.replace("-", " ", 1), image) from error

    def lived_on(self, what: str, image: Any) -> BackendBusy:
        """Says which clones live on ``image``, which may be set to a snapshot."""
        names = sorted(f"{child['pool']}/{child['image']}" for child in image.list_children2())
        more = f" and {len(names) - MOST_QUOTED} more" if len(names) > MOST_QUOTED else ""
        reason = f"clones live on it: {', '.join(names[:MOST_QUOTED])}{more}"
        return BackendBusy(what=what, backend=self.connection.backend, reason=reason)

    def _has_snapshot(self, image_id: str, name: str) -> bool:
        found = self.headers.read(image_id)
        return found is not None and found.snapshot(name) is not None

    def full_if_missing(self, what: str, error: Exception) -> Exception:
        """A full pool says that what is there does not exist (measured with librbd 16)."""
        if not errors.is_missing(error):
            return error
        reason = "it is there and Ceph says it is not, as in a pool that is full or at its quota"
        return BackendFull(backend=self.connection.backend, what=f"a change of {what}", reason=reason)

    @property
    def _rbd(self) -> Any:
        return self.connection.modules.rbd.RBD()

    @property
    def _rbd_error(self) -> Any:
        return self.connection.modules.rbd.Error

"""An image's name: changed, and made one again where librbd was killed in the middle of a change.

librbd has the new name lead to the image (``rbd_id.NAME``), tells the pool's directory, and takes the old name away. In
between, the image has two names of which the directory knows one, and librbd refuses both ways: the other is taken.
"""

from dataclasses import dataclass

from volumed.driver.crash import crash_point
from volumed_drivers.rbd.connection import Connection
from volumed_drivers.rbd.headers import Headers


@dataclass(frozen=True, slots=True)
class Renaming:
    """Raises as Ceph's modules do."""

    connection: Connection
    headers: Headers

    def rename(self, image_id: str, name: str, wanted: str) -> None:
        """Call the image, which is called ``name``, ``wanted``. A change that was begun, either way, is ended."""
        if name == wanted:
            return
        crash_point("rbd.rename.before")
        if self.headers.id_of(wanted) == image_id:
            self._end(image_id, name, wanted)
        else:
            self.connection.modules.rbd.RBD().rename(self.connection.ioctx, name, wanted)
        crash_point("rbd.rename.after")

    def settle(self, wanted: str) -> bool:
        """Have the directory know by this name what it leads to; whether it knew that by another."""
        image_id = self.headers.id_of(wanted)
        name = None if image_id is None else self.headers.name_of(image_id)
        if image_id is None or name is None or name == wanted:
            return False
        self._end(image_id, name, wanted)
        return True

    def _end(self, image_id: str, name: str, wanted: str) -> None:
        """``wanted`` leads to the image from first to last, so a kill in here loses nothing."""
        if self.headers.name_of(image_id) == name:
            self.headers.set_name(image_id, name, wanted)
        crash_point("rbd.rename.listed")
        if self.headers.id_of(name) == image_id:
            self.headers.remove_id(name)

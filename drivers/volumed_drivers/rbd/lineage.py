"""What an image rests on: how many clones are below it, whether it should be made independent, and making it so.

Knows parents; knows nothing of volumes' operations.
"""

from dataclasses import dataclass
from typing import Any

from volumed.driver.crash import crash_point
from volumed.driver.interface import Progress
from volumed_drivers.rbd import errors
from volumed_drivers.rbd.images import Images
from volumed_drivers.rbd.names import id_of_snapshot
from volumed_drivers.rbd.opened import opened
from volumed_drivers.rbd.relay import Relay


@dataclass(frozen=True, slots=True)
class Lineage:
    """``deepest``: clones upon clones that an image may rest on. ``from_snapshots``: none at all there.

    Raises as Ceph's modules do, and the family.
    """

    images: Images
    deepest: int
    from_snapshots: bool

    def is_too_deep(self, volume_id: str) -> bool:
        """Whether the volume's image should be flattened."""
        parent = self._parent(self.images.needed(volume_id).image_id)
        if parent is None:
            return False
        if self.from_snapshots and id_of_snapshot(parent["snap_name"]) is not None:
            return True
        return self._is_deeper(parent, self.deepest)

    def flatten(self, volume_id: str, progress: Progress) -> None:
        """Copy what the image has of its parent; an independent one is fine, and a part is as good as none."""
        image_id = self.images.needed(volume_id).image_id
        if self._parent(image_id) is None:
            return
        relay = Relay(progress)
        crash_point("rbd.flatten.before")
        with opened(self.images.connection, image_id=image_id) as image:
            image.flatten(on_progress=relay)
        crash_point("rbd.flatten.after")
        relay.settle()

    def _is_deeper(self, parent: Any, depth: int) -> bool:
        """Whether there are more than ``depth`` images below, ``parent`` being the first."""
        below = 1
        while parent is not None and below <= depth:
            parent = self._parent(parent["image_id"]) if self._is_here(parent) else None
            below += parent is not None
        return below > depth

    def _is_here(self, parent: Any) -> bool:
        """Another pool's images are not ours to open."""
        ioctx = self.images.connection.ioctx
        here = (ioctx.get_pool_name(), ioctx.get_namespace())
        return (parent["pool_name"], parent["pool_namespace"]) == here

    def _parent(self, image_id: str) -> Any:
        with opened(self.images.connection, image_id=image_id, read_only=True) as image:
            try:
                return {**image.get_parent_image_spec(), "image_id": image.parent_id()}
            except self.images.connection.modules.rbd.Error as error:
                if not errors.is_missing(error):
                    raise
                return None

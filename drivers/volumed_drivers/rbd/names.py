"""What is called how in a pool, and how volumed's mark on an image looks.

Knows names only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from volumed.driver.errors import BackendInvalid
from volumed.driver.interface import Owner

#: The keys of an image's metadata that make up volumed's mark.
DEPLOYMENT, BACKEND, VOLUME = "volumed.deployment", "volumed.backend", "volumed.volume"

#: Digits of an image's id, and how many of them are drawn at most: before those stands the number of the client that
#: made it, in hex; of a long one the first digits are cut off. Source: librbd, generate_image_id.
_ID, _DRAWN = 14, 8

#: librbd would take these for a snapshot or a namespace, or not at all.
_UNFIT = re.compile(r"[/@\0]")


def volume_name(volume_id: str) -> str:
    """Of the image."""
    return f"volume-{_fit('volume', volume_id)}"


def snapshot_name(snapshot_id: str) -> str:
    """Of the snapshot on the volume's image."""
    return f"snapshot-{_fit('snapshot', snapshot_id)}"


def clone_snapshot_name(volume_id: str) -> str:
    """Of the snapshot on the source's image from which the volume is cloned; it lives for a moment."""
    return f"clone-{_fit('volume', volume_id)}"


def id_of_snapshot(name: str) -> str | None:
    """The id of the snapshot that is called so; None where it is none of volumed's."""
    return name.removeprefix("snapshot-") if name.startswith("snapshot-") else None


def id_of_clone_snapshot(name: str) -> str | None:
    """The id of the volume that is cloned from the snapshot; None where it is none of those."""
    return name.removeprefix("clone-") if name.startswith("clone-") else None


def is_made_by(client: str, image_id: str) -> bool:
    """Whether the image may be one that the client made; ``client`` is its number in hex."""
    return any((client + image_id[-drawn:])[-_ID:] == image_id for drawn in range(1, _DRAWN + 1))


def is_clone_snapshot(name: str) -> bool:
    return id_of_clone_snapshot(name) is not None


def is_called_as_ours(snapshot: str) -> bool:
    """Whether nothing would tell the snapshot from one of volumed's."""
    return id_of_snapshot(snapshot) is not None or is_clone_snapshot(snapshot)


@dataclass(frozen=True, slots=True)
class Marker:
    """Puts ``owner``'s mark on images, and tells it from others'; its ``backend`` is ``host@backend``."""

    owner: Owner

    def mark(self, volume_id: str) -> dict[str, str]:
        """The metadata of the image that is the volume, complete."""
        return {DEPLOYMENT: self.owner.deployment, BACKEND: self.owner.backend, VOLUME: volume_id}

    def is_ours(self, metadata: Mapping[str, str]) -> bool:
        """Whether the image is the owner's. A clone has its source's mark until it is complete."""
        return (metadata.get(DEPLOYMENT), metadata.get(BACKEND)) == (self.owner.deployment, self.owner.backend)

    def is_anothers(self, metadata: Mapping[str, str], volume_id: str) -> bool:
        """Whether another owner has made the image this very volume."""
        return metadata.get(VOLUME) == volume_id and not self.is_ours(metadata)

    def is_counted(self, metadata: Mapping[str, str]) -> bool:
        """Whether rows of the deployment account for the image, on whichever of its services."""
        return metadata.get(DEPLOYMENT) == self.owner.deployment

    def is_whole(self, metadata: Mapping[str, str], volume_id: str) -> bool:
        """Whether the image is this very volume of the owner's, complete."""
        return self.is_ours(metadata) and metadata.get(VOLUME) == volume_id


def _fit(kind: str, resource_id: str) -> str:
    if not resource_id or _UNFIT.search(resource_id):
        raise BackendInvalid(backend="rbd", what=f"{kind} {resource_id!r}", reason="not an id")
    return resource_id

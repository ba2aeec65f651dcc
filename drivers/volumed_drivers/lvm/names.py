"""What our logical volumes are called, and the tags that say whose they are.

LVM allows letters, digits and ``_+.-/=!:&#`` in tags, ``_+.-`` in names, and keeps names that begin with ``snapshot``
for itself. Source: lvm(8), "Valid names".
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import quote

from volumed.driver.errors import BackendInvalid
from volumed.driver.interface import Owner

#: On a thick volume that does not have all of its data yet.
UNREADY = "volumed.unready"

#: Begins a tag that says from which byte on a thick volume that was grown is not cleared yet.
UNCLEARED = "volumed.uncleared="

#: Begins a tag that says what it was called before it was managed.
FORMERLY = "volumed.formerly="

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")

#: Kinds of what an audit finds, by how its name begins.
_KINDS = {"volume-": "volume", "_snapshot-": "snapshot", "volumed-purge-": "remains"}
_TEMPORARY = re.compile(r"volumed-(clone|revert|old)-(?P<id>.+)")


@dataclass(frozen=True, slots=True)
class Names:
    """Names and tags of one backend's logical volumes."""

    owner: Owner

    @property
    def mark(self) -> str:
        """The tag of everything that is ours."""
        return _mark(self.owner)

    def volume(self, volume_id: str) -> str:
        return f"volume-{self._checked(volume_id)}"

    def snapshot(self, snapshot_id: str) -> str:
        return f"_snapshot-{self._checked(snapshot_id)}"

    def quarantine(self, volume_id: str) -> str:
        """A deleted volume that waits for its wipe."""
        return f"volumed-purge-{self._checked(volume_id)}"

    def still(self, volume_id: str) -> str:
        """The instant of its source from which the volume is copied."""
        return f"volumed-clone-{self._checked(volume_id)}"

    def reverted(self, volume_id: str) -> str:
        """What takes the volume's place when it is reverted."""
        return f"volumed-revert-{self._checked(volume_id)}"

    def replaced(self, volume_id: str) -> str:
        """What had the volume's place before."""
        return f"volumed-old-{self._checked(volume_id)}"

    def tags(self, name: str) -> tuple[str, ...]:
        """What the volume ``name`` is tagged with: whose it is, and which one."""
        of = resource_tag(name)
        return (self.mark,) if of is None else (self.mark, of)

    def _checked(self, resource_id: str) -> str:
        if not _ID.fullmatch(resource_id):
            raise BackendInvalid(backend=self.owner.backend, what=repr(resource_id), reason="not an id")
        return resource_id


def told(name: str, tags: frozenset[str], names: Collection[str]) -> tuple[str, str | None] | None:
    """Kind and id of what is called ``name`` beside ``names``, as ``parsed`` says, but for what is on its way.

    What is being taken over, or given back, is what its tags say. While a revert exchanges a volume for another one,
    the old one is the volume, and the new one is nothing yet.
    """
    if (managed := meant(name, tags)) is not None:
        return managed
    kind, resource_id = parsed(name)
    is_exchanged = f"volume-{resource_id}" not in names and f"volumed-old-{resource_id}" in names
    if is_exchanged and name == f"volumed-old-{resource_id}":
        return "volume", resource_id
    return None if is_exchanged and name == f"volumed-revert-{resource_id}" else (kind, resource_id)


def parsed(name: str) -> tuple[str, str | None]:
    """Kind (as in ``Leftover``) and id of what is called ``name``; else it is a temporary without an id."""
    for beginning, kind in _KINDS.items():
        if name.startswith(beginning):
            return kind, name.removeprefix(beginning)
    match = _TEMPORARY.fullmatch(name)
    return "temporary", match["id"] if match else None


def resource_tag(name: str) -> str | None:
    """The tag that says which volume or snapshot what is called ``name`` is."""
    kind, resource_id = parsed(name)
    return None if resource_id is None else f"volumed.{kind}={resource_id}"


def meant(name: str, tags: frozenset[str]) -> tuple[str, str] | None:
    """Kind and id of what ``name`` is taken over as, or was until now; None where it has the name of what it is.

    Its other name may be as ours are: Cinder calls its volumes so, too.
    """
    its_id = parsed(name)[1]
    for kind in ("volume", "snapshot"):
        beginning = f"volumed.{kind}="
        for tag in sorted(tags):
            if tag.startswith(beginning) and tag != f"{beginning}{its_id}":
                return kind, tag.removeprefix(beginning)
    return None


def owner_of(tags: frozenset[str]) -> tuple[str, ...]:
    """The marks among ``tags``, ours and those of other backends and deployments."""
    return tuple(sorted(tag for tag in tags if tag.startswith("volumed/")))


def _mark(owner: Owner) -> str:
    return "/".join(("volumed", *(_escaped(word) for word in (owner.deployment, owner.backend))))


def _escaped(word: str) -> str:
    return quote(word, safe="_.-").replace("%", "=").replace("~", "=7E")

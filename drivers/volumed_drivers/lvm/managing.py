"""Logical volumes that others made: which of them could be ours, taking them over, giving them away.

A reference is ``{"source-name": NAME}``, a name in the volume group, as Cinder has it.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from volumed.driver.errors import BackendInvalid
from volumed.driver.interface import Manageable, Reference
from volumed_drivers.lvm.commands import Group, LogicalVolume, Refused
from volumed_drivers.lvm.names import FORMERLY, owner_of, parsed
from volumed_drivers.lvm.site import Site

GIB = 1024**3

#: The key of a reference.
SOURCE = "source-name"

#: Kinds of segments that hold what somebody wrote.
_HOLDING = re.compile(r"linear|striped|mirror|raid.*|thin")


def manageable(site: Site, group: Group, pool: str | None, snapshots: bool) -> Iterator[Manageable]:
    """Volumes, or snapshots, that are in the group; ``pool``: that of a thin backend, None: it is a thick one."""
    for found in group.volumes.values():
        if _HOLDING.fullmatch(found.segtype) and _is_snapshot(found) == snapshots:
            yield _described(site, group, found, pool)


def size_in_gib(found: LogicalVolume, group: Group) -> int:
    """Its size, rounded up; that of a thick snapshot is its volume's, and what LVM tells is the room for changes."""
    of = group.volumes.get(found.origin) if found.origin and not found.pool else None
    return -(-(of or found).size // GIB)


def wanted(site: Site, group: Group, reference: Reference, pool: str | None, snapshot: bool) -> LogicalVolume:
    """What ``reference`` names. ``BackendNotFound``; ``BackendInvalid`` with the reason why it cannot be ours."""
    name = reference.get(SOURCE)
    if not name:
        raise BackendInvalid(
            backend=site.backend, what=f"the reference {dict(reference)}", reason=f"no {SOURCE!r} in it"
        )
    name = name.removeprefix(f"{site.lvm.group}/")
    found = site.find(name, f"logical volume {name}", group)
    reason = _unsafe(site, found, pool)
    if reason is None and _is_snapshot(found) != snapshot:
        reason = f"it is {'a' if _is_snapshot(found) else 'no'} snapshot"
    if reason is not None:
        raise BackendInvalid(backend=site.backend, what=f"logical volume {name}", reason=reason)
    return found


def taken(site: Site, group: Group, name: str) -> LogicalVolume | None:
    """What is called ``name``, or is marked to be: taken over already, or on the way."""
    tags = set(site.names.tags(name))
    marked = (each for each in group.volumes.values() if tags <= each.tags)
    return group.volumes.get(name) or next(marked, None)


def take(site: Site, found: LogicalVolume, name: str, what: str) -> None:
    """Mark it, with the name that it has, then call it ``name``: killed between, it is found by its mark."""
    formerly = [] if found.name == name else ["--addtag", f"{FORMERLY}{found.name}"]
    try:
        if not set(site.names.tags(name)) <= found.tags:
            site.lvm.change("mark", "lvchange", "-y", *site.labels(name), *formerly, site.path(found.name))
        if found.name != name:
            site.rename(found.name, name)
    except Refused as refused:
        raise site.failed(what, refused) from refused
    site.lvm.forget()


def give(site: Site, name: str, what: str) -> None:
    """Call it what it was called before, and take our marks off; an absent one is fine. ``BackendBusy``."""
    found = taken(site, site.lvm.look(), name)
    if found is None or not _marks(found):
        return
    site.refuse_open(found, what)
    former = next((tag.removeprefix(FORMERLY) for tag in _marks(found) if tag.startswith(FORMERLY)), found.name)
    try:
        if former != found.name:
            site.rename(found.name, former)
    except Refused as refused:
        raise site.failed(what, refused) from refused
    unmark(site, replace(found, name=former), what)


def unmark(site: Site, found: LogicalVolume, what: str) -> None:
    """Take our marks off: it is what it was before, and nothing of ours."""
    words = [word for tag in _marks(found) for word in ("--deltag", tag)]
    try:
        site.lvm.change("unmark", "lvchange", "-y", *words, site.path(found.name))
    except Refused as refused:
        raise site.failed(what, refused) from refused
    site.lvm.forget()


def _marks(found: LogicalVolume) -> list[str]:
    return sorted(tag for tag in found.tags if tag.startswith("volumed"))


def _described(site: Site, group: Group, found: LogicalVolume, pool: str | None) -> Manageable:
    reason = _unsafe(site, found, pool)
    is_ours = site.names.mark in found.tags
    return Manageable(
        reference={SOURCE: found.name},
        size=size_in_gib(found, group),
        safe_to_manage=reason is None,
        reason_not_safe=reason,
        id=parsed(found.name)[1] if is_ours else None,
        source_reference={SOURCE: found.origin} if found.origin else None,
    )


def _unsafe(site: Site, found: LogicalVolume, pool: str | None) -> str | None:
    if site.names.mark in found.tags:
        return "it is managed already"
    if marks := owner_of(found.tags):
        return f"it is of {', '.join(marks)}"
    if found.open:
        return "somebody has it open"
    if found.pool != (pool or ""):
        return f"it is {'thin' if found.pool else 'thick'}, and the volumes of this backend are not, or of another pool"
    return None


def _is_snapshot(found: LogicalVolume) -> bool:
    """A thin clone has an origin too, but is no snapshot: it is activated like any volume.

    LVM forgets of what a thin snapshot was taken when that is removed, as in a revert.
    """
    return found.skipped if found.pool else bool(found.origin)

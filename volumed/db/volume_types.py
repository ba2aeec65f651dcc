"""Queries of volume types."""

from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, bindparam, delete, exists, insert, or_, select, update

from volumed.db import pages, proofs
from volumed.db.clock import now
from volumed.db.pages import Listing
from volumed.db.tables import quotas, volume_types, volumes
from volumed.model.errors import NotFound
from volumed.model.records import VolumeType

#: What a quota counts of a type, by its name.
_COUNTED = ("volumes", "gigabytes", "snapshots")

_BY_REFERENCE = select(volume_types).where(
    or_(volume_types.c.id == bindparam("wanted"), volume_types.c.name == bindparam("wanted"))
)


def find(tx: Connection, reference: str) -> VolumeType | None:
    """The type with that id, else with that name."""
    found = [VolumeType(*row) for row in tx.execute(_BY_REFERENCE, {"wanted": reference})]
    return next((each for each in found if each.id == reference), found[0] if found else None)


def get(tx: Connection, reference: str) -> VolumeType:
    """The type with that id, else with that name. Raises ``NotFound``."""
    found = find(tx, reference)
    if found is None:
        raise _absent(reference)
    return found


def name_of(tx: Connection, type_id: str) -> str:
    """The type's name. Raises ``NotFound``."""
    found: str | None = tx.execute(select(volume_types.c.name).where(volume_types.c.id == type_id)).scalar()
    if found is None:
        raise _absent(type_id)
    return found


def add(tx: Connection, type_id: str, name: str, **values: Any) -> None:
    """Insert a type. A name that is taken: ``IntegrityError``."""
    proofs.by_id(tx, volume_types, type_id)
    tx.execute(insert(volume_types).values(id=type_id, name=name, created_at=now(), updated_at=now(), **values))


def change(tx: Connection, type_id: str, **values: Any) -> None:
    """Change columns. A name that is taken: ``IntegrityError``. Raises ``NotFound``."""
    changed = update(volume_types).where(volume_types.c.id == type_id)
    if not tx.execute(changed.values(updated_at=now(), **values)).rowcount:
        raise _absent(type_id)


def forget_quotas(tx: Connection, name: str) -> None:
    """Forget what projects might use of a type that is there no more; a purge may have to give some of it back yet."""
    of_it = quotas.c.resource.in_([f"{resource}_{name}" for resource in _COUNTED])
    tx.execute(delete(quotas).where(of_it, quotas.c.in_use == 0))
    tx.execute(update(quotas).where(of_it).values(hard_limit=None, updated_at=now()))


def rename_quotas(tx: Connection, name: str, new_name: str) -> None:
    """Let what projects use of a type, and may use, follow its new name; what a type of that name left is added."""
    forget_quotas(tx, new_name)
    for resource in _COUNTED:
        old, new = f"{resource}_{name}", f"{resource}_{new_name}"
        of_new = quotas.c.resource == new
        for project_id, in_use in tx.execute(select(quotas.c.project_id, quotas.c.in_use).where(of_new)).all():
            of_both = update(quotas).where(quotas.c.resource == old, quotas.c.project_id == project_id)
            if tx.execute(of_both.values(in_use=quotas.c.in_use + in_use)).rowcount:
                tx.execute(delete(quotas).where(of_new, quotas.c.project_id == project_id))
        tx.execute(update(quotas).where(quotas.c.resource == old).values(resource=new, updated_at=now()))


def in_use(tx: Connection, type_id: str) -> bool:
    """Whether a volume has this type."""
    return bool(tx.execute(select(exists().where(volumes.c.volume_type_id == type_id))).scalar())


def remove(tx: Connection, type_id: str) -> None:
    """Delete the type. Raises ``NotFound``."""
    if not tx.execute(delete(volume_types).where(volume_types.c.id == type_id)).rowcount:
        raise _absent(type_id)


def ensure_default(tx: Connection, name: str) -> None:
    """Make the type of volumes that name none, if it is not there."""
    if tx.execute(select(volume_types.c.id).where(volume_types.c.name == name)).first() is None:
        add(tx, str(uuid4()), name, description="Default Volume Type", is_public=True, extra_specs={})


def _absent(reference: str) -> NotFound:
    return NotFound(resource_type="volume type", resource_id=reference)


def page(tx: Connection, listing: Listing) -> list[VolumeType]:
    """One page of types."""
    return [VolumeType(*row) for row in pages.page(tx, select(volume_types), volume_types, listing, "volume type")]

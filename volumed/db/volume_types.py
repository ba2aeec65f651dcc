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
    """What projects might use of a type that is there no more; nobody uses any of it."""
    resources = [f"{resource}_{name}" for resource in ("volumes", "gigabytes", "snapshots")]
    tx.execute(delete(quotas).where(quotas.c.resource.in_(resources)))


def rename_quotas(tx: Connection, name: str, new_name: str) -> None:
    """Let what projects use of a type, and may use, follow its new name, which no type has had since."""
    forget_quotas(tx, new_name)
    for resource in ("volumes", "gigabytes", "snapshots"):
        renamed = update(quotas).where(quotas.c.resource == f"{resource}_{name}")
        tx.execute(renamed.values(resource=f"{resource}_{new_name}", updated_at=now()))


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

"""What projects use and may use, for showing and setting; the spending itself is in ``quotas``."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from volumed.db.clock import now
from volumed.db.tables import quota_defaults, quotas, volume_types

#: What is counted of every project, and per type.
RESOURCES = ("volumes", "snapshots", "gigabytes")


@dataclass(frozen=True, slots=True)
class Limit:
    in_use: int
    limit: int


def names(tx: Connection) -> list[str]:
    """Every resource that there is a quota of: the plain ones and those of each type."""
    types = tx.execute(select(volume_types.c.name).order_by(volume_types.c.created_at, volume_types.c.id)).scalars()
    return [*RESOURCES, *(f"{resource}_{name}" for name in types for resource in RESOURCES)]


def defaults(tx: Connection, configured: Mapping[str, int]) -> dict[str, int]:
    """The default limit of every resource: the stored one, else the configured one, else none."""
    stored = {row[0]: row[1] for row in tx.execute(select(quota_defaults.c.resource, quota_defaults.c.hard_limit))}
    return {name: stored.get(name, configured.get(name, -1)) for name in names(tx)}


def of_project(tx: Connection, project_id: str, configured: Mapping[str, int]) -> dict[str, Limit]:
    """Use and limit of every resource in the project."""
    columns = quotas.c
    wanted = select(columns.resource, columns.in_use, columns.hard_limit).where(columns.project_id == project_id)
    rows = {row.resource: row for row in tx.execute(wanted)}
    found = {}
    for name, limit in defaults(tx, configured).items():
        row = rows.get(name)
        own = None if row is None else row.hard_limit
        found[name] = Limit(0 if row is None else row.in_use, limit if own is None else own)
    return found


def set_limits(tx: Connection, project_id: str, limits: Mapping[str, int]) -> None:
    """Give the project limits of its own; a limit below what is in use only stops growth."""
    for resource in sorted(limits):
        known = update(quotas).where(quotas.c.project_id == project_id, quotas.c.resource == resource)
        if not tx.execute(known.values(hard_limit=limits[resource], updated_at=now())).rowcount:
            tx.execute(
                insert(quotas).values(
                    project_id=project_id,
                    resource=resource,
                    in_use=0,
                    hard_limit=limits[resource],
                    updated_at=now(),
                )
            )


def drop_limits(tx: Connection, project_id: str) -> None:
    """Let the defaults apply to the project again."""
    tx.execute(update(quotas).where(quotas.c.project_id == project_id).values(hard_limit=None, updated_at=now()))


def set_defaults(tx: Connection, limits: Mapping[str, int]) -> None:
    """Replace the configuration's defaults."""
    for resource in sorted(limits):
        tx.execute(delete(quota_defaults).where(quota_defaults.c.resource == resource))
        tx.execute(insert(quota_defaults).values(resource=resource, hard_limit=limits[resource], updated_at=now()))

"""Queries of volumes."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from volumed.db import pages
from volumed.db.clock import SECOND, now_once
from volumed.db.pages import Listing
from volumed.db.rows import Rows
from volumed.db.tables import operations, volume_types, volumes
from volumed.model.errors import NotFound
from volumed.model.records import Volume
from volumed.model.states import VOLUME_MOVES, VolumeStatus

_ROWS = Rows(volumes, Volume, "volume", VOLUME_MOVES)
add, get, find, touch, change, move, remove = (
    _ROWS.add,
    _ROWS.get,
    _ROWS.find,
    _ROWS.touch,
    _ROWS.change,
    _ROWS.move,
    _ROWS.remove,
)

#: Statuses in which a volume must have a live operation; without one, its message was lost before it had one.
IN_TRANSIT = (VolumeStatus.CREATING, VolumeStatus.DELETING, VolumeStatus.EXTENDING)


def in_transit_without_operation(tx: Connection, host: str, age: float, limit: int = 100) -> list[Volume]:
    """Volumes placed on ``host@backend`` in transit for ``age`` seconds that no live operation works on.

    A foreign API tier on the same database makes such rows; its cast may be lost.
    """
    wanted = (
        select(volumes)
        .outerjoin(operations, operations.c.live_key == volumes.c.id)
        .where(
            volumes.c.status.in_(IN_TRANSIT),
            volumes.c.updated_at < now_once() - int(age * SECOND),
            volumes.c.host.startswith(host + "#", autoescape=True),
            operations.c.id.is_(None),
        )
        .limit(limit)
    )
    return [Volume(*row) for row in tx.execute(wanted)]


def any_on(tx: Connection, host: str) -> bool:
    """Whether there is a volume on ``host@backend``."""
    wanted = select(volumes.c.id).where(volumes.c.host.startswith(host + "#", autoescape=True))
    return tx.execute(wanted.limit(1)).first() is not None


def placed_on(tx: Connection, host: str) -> list[Volume]:
    """Every volume on ``host@backend``."""
    wanted = select(volumes).where(volumes.c.host.startswith(host + "#", autoescape=True))
    return [Volume(*row) for row in tx.execute(wanted)]


def allocation_of(tx: Connection, storage_id: str) -> tuple[int, int]:
    """GiB and number of the volumes counted on a storage, from the rows themselves."""
    counted = select(func.coalesce(func.sum(volumes.c.size), 0), func.count()).where(volumes.c.storage_id == storage_id)
    row = tx.execute(counted).one()
    return int(row[0]), int(row[1])


_WITH_TYPE = select(volumes, volume_types.c.name.label("type_name")).join_from(
    volumes, volume_types, volume_types.c.id == volumes.c.volume_type_id
)
_ONE_WITH_TYPE = _WITH_TYPE.where(volumes.c.id == bindparam("wanted"))


@dataclass(frozen=True, slots=True)
class TypedVolume:
    """A volume with the name of its type."""

    volume: Volume
    type_name: str


def get_typed(tx: Connection, volume_id: str, project_id: str | None = None) -> TypedVolume:
    """The volume, of ``project_id`` unless None. Raises ``NotFound``, also for another project's."""
    row = tx.execute(_ONE_WITH_TYPE, {"wanted": volume_id}).first()
    if row is None or (project_id is not None and row.project_id != project_id):
        raise NotFound(resource_type="volume", resource_id=volume_id)
    return TypedVolume(Volume(*row[:-1]), row[-1])


def page(tx: Connection, listing: Listing) -> list[TypedVolume]:
    """One page of volumes."""
    return [TypedVolume(Volume(*row[:-1]), row[-1]) for row in pages.page(tx, _WITH_TYPE, volumes, listing, "volume")]


def count(tx: Connection, listing: Listing) -> int:
    """How many volumes the whole list has."""
    return pages.count(tx, volumes, listing)


def sums(tx: Connection, project_id: str | None) -> tuple[int, int]:
    """How many volumes there are, and their GiB. Counts them: the cost grows with the list."""
    wanted = select(func.count(), func.coalesce(func.sum(volumes.c.size), 0)).select_from(volumes)
    row = tx.execute(wanted if project_id is None else wanted.where(volumes.c.project_id == project_id)).one()
    return int(row[0]), int(row[1])


def metadata_of_all(tx: Connection, project_id: str | None) -> dict[str, list[str]]:
    """Every value that a key of the volumes' metadata has."""
    wanted = select(volumes.c.metadata)
    found: dict[str, set[str]] = {}
    for (pairs,) in tx.execute(wanted if project_id is None else wanted.where(volumes.c.project_id == project_id)):
        for key, value in pairs.items():
            found.setdefault(key, set()).add(value)
    return {key: sorted(values) for key, values in sorted(found.items())}

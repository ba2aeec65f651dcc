"""Queries of snapshots."""

from sqlalchemy import Connection, select

from volumed.db import pages
from volumed.db.pages import Listing
from volumed.db.rows import Rows
from volumed.db.tables import snapshots
from volumed.model.records import Snapshot
from volumed.model.states import SNAPSHOT_MOVES

_ROWS = Rows(snapshots, Snapshot, "snapshot", SNAPSHOT_MOVES)
add, get, find, touch, change, move, remove = (
    _ROWS.add,
    _ROWS.get,
    _ROWS.find,
    _ROWS.touch,
    _ROWS.change,
    _ROWS.move,
    _ROWS.remove,
)


def of_volume(tx: Connection, volume_id: str) -> list[Snapshot]:
    """The volume's snapshots, by id."""
    wanted = select(snapshots).where(snapshots.c.volume_id == volume_id).order_by(snapshots.c.id)
    return [Snapshot(*row) for row in tx.execute(wanted)]


def page(tx: Connection, listing: Listing) -> list[Snapshot]:
    """One page of snapshots."""
    return [Snapshot(*row) for row in pages.page(tx, select(snapshots), snapshots, listing, "snapshot")]


def count(tx: Connection, listing: Listing) -> int:
    """How many snapshots the whole list has."""
    return pages.count(tx, snapshots, listing)

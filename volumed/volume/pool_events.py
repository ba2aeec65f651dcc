"""What the rows are told of a backend's reports.

Events of a pool that fills up: that it is about to be full, that it takes no more, and that it takes volumes again. And
in the service's row, for the API, whether the backend extends volumes that are attached.

Knows what a driver reports; knows nothing of how a pool is watched.
"""

import logging
import uuid
from enum import StrEnum

from sqlalchemy import Connection

from volumed.db import events, services
from volumed.db.engine import Database
from volumed.driver.interface import SECONDS_LEFT, TAKES_NO_MORE, Capabilities, PoolCapabilities
from volumed.model.errors import VolumedError
from volumed.model.host import place

LOG = logging.getLogger(__name__)

#: Source: the Block Storage service's notification of a pool's capacity.
EVENT = "capacity.pool"

#: Seconds before a pool is full, at the rate at which it fills, from which on that is told.
SOON = 3600.0


class Filling(StrEnum):
    """What is told of a pool."""

    OPEN = "open"
    FILLS_SOON = "fills_soon"
    TAKES_NO_MORE = "takes_no_more"


class PoolEvents:
    """Of the backend ``host``, ``NODE@BACKEND``. After a start each pool counts as open."""

    def __init__(self, database: Database, host: str) -> None:
        self._database = database
        self._host = host
        self._told: dict[str, Filling] = {}
        self._extends_in_use: bool | None = None

    def observe(self, measured: Capabilities) -> Capabilities:
        """Write an event for each pool of which something else is to be told now; returns what was measured.

        Where the database is away it is told the next time.
        """
        self._tell_ability(measured.online_extend_support)
        for pool in measured.pools:
            state = _state_of(pool)
            if state != self._told.get(pool.name, Filling.OPEN):
                try:
                    self._database.write(self._add, pool, state)
                except VolumedError as error:
                    LOG.warning("pool %s of %s is %s, which cannot be told: %s", pool.name, self._host, state, error)
                else:
                    self._told[pool.name] = state
        return measured

    def _tell_ability(self, extends_in_use: bool) -> None:
        if extends_in_use == self._extends_in_use:
            return
        try:
            if self._database.write(services.tell_extends_in_use, self._host, extends_in_use):
                self._extends_in_use = extends_in_use
        except VolumedError as error:
            LOG.warning("whether %s extends volumes in use cannot be told: %s", self._host, error)

    def _add(self, tx: Connection, pool: PoolCapabilities, state: Filling) -> None:
        """Nobody but this service writes events of the pool, so its events' numbers are not taken twice."""
        name = place(self._host, pool.name)
        payload = {
            "name_to_id": name,
            "type": "pool",
            "state": state.value,
            "total": pool.total_gib,
            "free": pool.free_gib,
            "reason": pool.features.get(TAKES_NO_MORE),
            "seconds_left": pool.features.get(SECONDS_LEFT),
        }
        events.add(tx, "pool", str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "", EVENT, payload)


def _state_of(pool: PoolCapabilities) -> Filling:
    if pool.features.get(TAKES_NO_MORE):
        return Filling.TAKES_NO_MORE
    left = pool.features.get(SECONDS_LEFT)
    return Filling.FILLS_SOON if left is not None and left < SOON else Filling.OPEN

"""What the pool has and how much of it is free.

Knows the monitors' figures; opens no image.
"""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from volumed.driver.errors import BackendError
from volumed_drivers.rbd.connection import Connection
from volumed_drivers.rbd.headers import Headers
from volumed_drivers.rbd.names import Marker

LOG = logging.getLogger(__name__)

GIB: Final = 1024**3

#: Seconds for which a sweep of the images' sizes is good; one that takes long is good for longer.
SWEEP_INTERVAL: Final = 60.0

#: A sweep may take this part of the time.
SWEEP_SHARE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a pool, in bytes; None where the cluster does not know: without a manager daemon it tells of no pool."""

    total: int | None
    free: int | None


class Stats:
    """Raises as rados does."""

    def __init__(self, connection: Connection, headers: Headers, marker: Marker, pool: str) -> None:
        self._connection = connection
        self._headers = headers
        self._marker = marker
        self._pool = pool
        self._guard = threading.Lock()
        self._promised = 0
        self._sweep_after = 0.0
        self._sweeping = False

    def figures(self) -> Figures:
        """What the pool may still take by its rule of placement and its quota; replicas are counted once."""
        found = next((each for each in self._connection.ask("df")["pools"] if each["name"] == self._pool), None)
        if found is None:
            return Figures(None, None)
        stored, free = int(found["stats"]["stored"]), int(found["stats"]["max_avail"])
        total = stored + free
        quota = self._connection.ask("osd pool get-quota", pool=self._pool)
        most, most_objects = int(quota["quota_max_bytes"]), int(quota["quota_max_objects"])  # 0: none
        if most:
            total, free = min(total, most), min(free, max(0, most - stored))
        if most_objects and int(found["stats"]["objects"]) >= most_objects:
            free = 0
        return Figures(max(total, free), free)

    def promised_by_others(self) -> int:
        """Bytes that the images of this namespace promise of which no row knows, as the last sweep over headers found.

        A sweep is made now and then, beside whoever asks; 0 before the first one ended.
        """
        with self._guard:
            if not self._sweeping and time.monotonic() >= self._sweep_after:
                self._sweeping = True
                threading.Thread(target=self._sweep, name=f"sizes of {self._pool}", daemon=True).start()
            return self._promised

    def _sweep(self) -> None:
        began = time.monotonic()
        try:
            with self._connection.translated(f"the images of pool {self._pool}"):
                self._promised = sum(
                    self._foreign_size(header.metadata, header.size) for _, header in self._headers.all()
                )
        except BackendError as error:
            LOG.warning("sizes of images are not known: %s", error)
        finally:
            ended = time.monotonic()
            with self._guard:
                self._sweep_after = ended + max(SWEEP_INTERVAL, (ended - began) / SWEEP_SHARE)
                self._sweeping = False

    def _foreign_size(self, metadata: Any, size: int) -> int:
        return 0 if self._marker.is_counted(metadata) else size

"""Pools as the backends reported them: kept in memory, the newest report of each backend.

Refuses to know the database: what volumed itself uses of a pool and whether its service is up come from ``fleet``.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool that may take a volume. Sizes are GiB; ``None`` is unknown, which is not full."""

    #: ``host@backend#pool``.
    host: str
    #: ``host@backend``: the service.
    backend: str
    storage_id: str
    availability_zone: str
    total: float | None
    free: float | None
    foreign: float
    #: GiB, not percent.
    reserved: float
    #: How many GiB are promised for each real one; 1 for a thick pool.
    ratio: float
    #: What extra specs are matched with and ``get_pools`` answers, in the words of OpenStack.
    capabilities: Mapping[str, Any]
    #: GiB and number of volumed's volumes placed on the storage.
    allocated: int = 0
    volumes: int = 0
    #: Why the pool's service takes nothing now.
    unavailable: str | None = None

    @property
    def ceiling(self) -> float:
        """GiB that volumed may allocate in all: what is neither reserved nor a stranger's, times the ratio.

        A stranger's bytes are real, so nothing can be promised on them: they are taken off before the ratio.
        """
        if self.total is None:
            return math.inf
        return (self.total - self.reserved - self.foreign) * self.ratio

    @property
    def free_virtual(self) -> float:
        """GiB that may still be allocated; infinite where it is unknown."""
        return self.ceiling - self.allocated


@dataclass(frozen=True, slots=True)
class Report:
    """What one backend said of itself; ``sequence`` counts within an ``incarnation``."""

    backend: str
    incarnation: str
    sequence: int
    pools: tuple[Pool, ...]


class News(Enum):
    """What a report is: out of order, another one, or the first of its backend's incarnation."""

    OLD = "old"
    UPDATE = "update"
    FIRST = "first"


@dataclass(frozen=True, slots=True)
class _Kept:
    report: Report
    received: float
    #: The incarnation before this one: what it sent and comes late is not news.
    superseded: str | None


class ReportedPools:
    """The newest report of each backend. A report older than ``lifetime`` seconds is forgotten. Safe for threads."""

    def __init__(self, lifetime: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def keep(self, report: Report) -> News:
        """Keep ``report`` unless a newer one of the same backend came before."""
        with self._lock:
            known = self._kept.get(report.backend)
            if known is not None and _is_old(report, known):
                return News.OLD
            self._kept[report.backend] = _Kept(report, self._clock(), _superseded_by(report, known))
        same = known is not None and known.report.incarnation == report.incarnation
        return News.UPDATE if same else News.FIRST

    def current(self) -> Sequence[Report]:
        """The reports that are not stale."""
        with self._lock:
            oldest = self._clock() - self._lifetime
            for backend in [backend for backend, kept in self._kept.items() if kept.received < oldest]:
                del self._kept[backend]
            return [kept.report for kept in self._kept.values()]


def _is_old(report: Report, known: _Kept) -> bool:
    if report.incarnation == known.report.incarnation:
        return report.sequence <= known.report.sequence
    return report.incarnation == known.superseded


def _superseded_by(report: Report, known: _Kept | None) -> str | None:
    if known is None:
        return None
    return known.superseded if known.report.incarnation == report.incarnation else known.report.incarnation

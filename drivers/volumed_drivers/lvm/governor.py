"""Watches how full a thin pool is, data and metadata, and how fast it fills; says when it takes no more, and grows it.

Told what is read anyway; asks nothing.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from volumed.driver.crash import crash_point
from volumed_drivers.lvm.commands import Group, LogicalVolume, Lvm, Refused

LOG = logging.getLogger(__name__)

#: Seconds over which the rate is taken, and at least between two warnings.
WINDOW, SPACING = 600.0, 300.0

#: Percent by which a pool is below its floor again, before something is made in it: it does not flap.
MARGIN = 1.0


class Governor:
    """One pool's. Both percentages are measured against the same floor."""

    def __init__(self, options: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._floor = options.lvm_pool_full_percent
        self._grow_from = options.lvm_pool_extend_percent
        self._step = options.lvm_pool_extend_step
        self._clock = clock
        self._seen: deque[tuple[float, float, float]] = deque()
        self._closed = False
        self._warned = -SPACING

    def observe(self, pool: LogicalVolume) -> None:
        """Told each time that it is read anew."""
        now = self._clock()
        self._seen.append((now, pool.data_percent or 0.0, pool.metadata_percent or 0.0))
        while self._seen[0][0] < now - WINDOW:
            self._seen.popleft()
        reason = self.refusal(pool)
        if reason and now - self._warned >= SPACING:
            self._warned = now
            LOG.warning("thin pool %s takes no more: %s", pool.name, reason)

    def refusal(self, pool: LogicalVolume) -> str | None:
        """Why nothing is made in the pool now, None while it takes more."""
        floor = self._floor - (MARGIN if self._closed else 0.0)
        parts = (("data", pool.data_percent), ("metadata", pool.metadata_percent))
        over = [f"its {name} is {percent:.1f} % full" for name, percent in parts if percent and percent >= floor]
        self._closed = bool(over)
        return f"{' and '.join(over)}, {self._floor:g} % is the limit (lvm_pool_full_percent)" if over else None

    def seconds_left(self) -> float | None:
        """Until data or metadata are full, at the rate of the last ten minutes; None while neither grows."""
        if len(self._seen) < 2 or self._seen[-1][0] <= self._seen[0][0]:
            return None
        first, last = self._seen[0], self._seen[-1]
        rates = [(last[part] - first[part]) / (last[0] - first[0]) for part in (1, 2)]
        left = [(100.0 - last[part]) / rate for part, rate in zip((1, 2), rates, strict=True) if rate > 0]
        return min(left) if left else None

    def tend(self, lvm: Lvm, group: Group, pool: LogicalVolume) -> None:
        """Grow the pool where that is allowed and due; what LVM refuses is logged, and tried again."""
        if not self._grow_from:
            return
        wanted = [
            (part, percent, size)
            for part, percent, size in (
                ("-L", pool.data_percent, pool.size),
                ("--poolmetadatasize", pool.metadata_percent, pool.metadata_size),
            )
            if percent is not None and percent >= self._grow_from
        ]
        for option, percent, size in wanted:
            step = min(max(group.extent, size * self._step // 100), group.free) // group.extent * group.extent
            if step > 0:
                LOG.info("thin pool %s is %.1f %% full (%s): growing it by %d bytes", pool.name, percent, option, step)
                _grow(lvm, pool, option, step)


def _grow(lvm: Lvm, pool: LogicalVolume, option: str, step: int) -> None:
    try:
        lvm.change("grow_pool", "lvextend", "-y", option, f"+{step}b", f"{lvm.group}/{pool.name}")
    except Refused as refused:
        LOG.warning("thin pool %s cannot be grown: %s", pool.name, refused.reason)
    lvm.forget()
    crash_point("lvm.grow_pool.told")

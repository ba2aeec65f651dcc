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

#: What LVM itself wants free of a pool's metadata, or it makes nothing in it: so many bytes, or a quarter of less.
#: Source: lvm2, lib/metadata/thin_manip.c, "minimal requirement for thin pool target"; measured.
SPARE_METADATA, SPARE_PERCENT = 4 * 1024**2, 25.0

#: Percent by which a pool is below its floor again, before something is made in it: it does not flap.
MARGIN = 1.0


class Governor:
    """One pool's. Both percentages are measured against the same floor, where LVM has none that is lower."""

    def __init__(self, options: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._floor = options.lvm_pool_full_percent
        self._grow_from = options.lvm_pool_extend_percent
        self._step = options.lvm_pool_extend_step
        self._clock = clock
        self._seen: deque[tuple[float, float, float]] = deque()
        #: Whether it took no more when it was looked at last.
        self.is_closed = False
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
        margin = MARGIN if self.is_closed else 0.0
        ours = (self._floor, "lvm_pool_full_percent")
        parts = (
            ("data", pool.data_percent, ours),
            ("metadata", pool.metadata_percent, min(ours, (metadata_limit(pool.metadata_size), "LVM's own"))),
        )
        over = [
            f"its {name} is {percent:.1f} % full, {limit:g} % is the limit ({whose})"
            for name, percent, (limit, whose) in parts
            if percent and percent >= limit - margin
        ]
        self.is_closed = bool(over)
        return " and ".join(over) or None

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
        metadata_from = min(self._grow_from, metadata_limit(pool.metadata_size) - MARGIN)
        wanted = [
            (part, percent, size)
            for part, percent, size, grow_from in (
                ("-L", pool.data_percent, pool.size, self._grow_from),
                ("--poolmetadatasize", pool.metadata_percent, pool.metadata_size, metadata_from),
            )
            if percent is not None and percent >= grow_from
        ]
        for option, percent, size in wanted:
            step = min(max(group.extent, size * self._step // 100), group.free) // group.extent * group.extent
            if step > 0:
                LOG.info("thin pool %s is %.1f %% full (%s): growing it by %d bytes", pool.name, percent, option, step)
                _grow(lvm, pool, option, step)


def metadata_limit(size: int) -> float:
    """Percent of ``size`` bytes of a pool's metadata from which on LVM makes nothing in it; of 0 bytes unknown: 100."""
    return 100.0 - min(SPARE_PERCENT, SPARE_METADATA * 100.0 / size) if size else 100.0


def _grow(lvm: Lvm, pool: LogicalVolume, option: str, step: int) -> None:
    try:
        lvm.change("grow_pool", "lvextend", "-y", option, f"+{step}b", f"{lvm.group}/{pool.name}")
    except Refused as refused:
        LOG.warning("thin pool %s cannot be grown: %s", pool.name, refused.reason)
    lvm.forget()
    crash_point("lvm.grow_pool.told")

"""What may be placed on now: the backends' reports, joined with the rows of their services and of what is allocated.

The rows are read at most once in ``ROWS_LIFETIME`` and after a conflict. That may be a little old, and is no danger:
the statement that allocates checks the ceiling and the service again.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.exc import IntegrityError

from volumed.db import pools as pool_rows
from volumed.db import services as service_rows
from volumed.db.clock import SECOND
from volumed.db.engine import Database
from volumed.db.services import VOLUME_BINARY
from volumed.model.records import Service
from volumed.scheduler.pools import Pool, Report, ReportedPools

#: Seconds for which rows once read are good enough.
ROWS_LIFETIME = 1.0

#: By how much of the down time the database's clock may differ from ours between two readings before it has jumped.
JUMP = 0.5


@dataclass(frozen=True, slots=True)
class _Rows:
    #: Volume services by host, with the seconds since each was heard of.
    services: Mapping[str, tuple[Service, float]] = field(default_factory=dict)
    #: GiB and volumes by storage.
    use: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    read_at: float = float("-inf")


class Fleet:
    """All pools with their use. ``down_time``: seconds after which a silent service counts as down."""

    def __init__(
        self,
        database: Database,
        reported: ReportedPools,
        down_time: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._reported = reported
        self._down_time = down_time
        self._clock = clock
        self._started = clock()
        #: The database's clock beside ours at the last reading, in seconds.
        self._offset: float | None = None
        #: When the database's clock was last seen to have jumped: for a while after, ages of rows mean nothing.
        self._jumped = float("-inf")
        self._lock = threading.Lock()
        self._rows = _Rows()
        self._seen: dict[str, tuple[Pool, Pool]] = {}

    def pools(self) -> Sequence[Pool]:
        """Every reported pool, with its use and with the reason if its service takes nothing."""
        with self._lock:
            return self._pools_of(self._reported.current())

    def look(self) -> tuple[Sequence[Pool], list[str]]:
        """``pools``, and the services that may take volumes soon and do not yet, both of one moment.

        While there are any, nothing is refused for good. One moment, because a service that reports between two looks
        would be missing in both. For ``down_time`` after the scheduler's own start the silent ones are among them:
        after a power cut all start together, and the scheduler may be the first. Likewise after the database was away.
        """
        with self._lock:
            reports = self._reported.current()
            return self._pools_of(reports), self._awaited_beside(reports)

    def silent(self) -> list[str]:
        """The volume services (``host@backend``) that have not been heard of for the down time."""
        with self._lock:
            self._pools_of(self._reported.current())
            if self._clock() - max(self._jumped, self._database.absent_at) < self._down_time:
                return []
            return [host for host, (_, age) in self._rows.services.items() if age > self._down_time]

    def expire(self) -> None:
        """Read the rows again at the next look: they turned out to be old."""
        with self._lock:
            self._rows = replace(self._rows, read_at=float("-inf"))

    def spent(self, storage_id: str, size: int) -> None:
        """This scheduler has placed a volume of ``size`` GiB; so much is known before the rows are read again."""
        with self._lock:
            allocated, volumes = self._rows.use.get(storage_id, (0, 0))
            use = dict(self._rows.use) | {storage_id: (allocated + size, volumes + 1)}
            self._rows = replace(self._rows, use=use)

    def _pools_of(self, reports: Sequence[Report]) -> Sequence[Pool]:
        if self._clock() - self._rows.read_at >= ROWS_LIFETIME:
            self._rows = self._read(reports)
            self._forget_absent(reports)
        unavailable = {report.backend: self._unavailable(report) for report in reports}
        return [self._joined(pool, unavailable[pool.backend]) for report in reports for pool in report.pools]

    def _awaited_beside(self, reports: Sequence[Report]) -> list[str]:
        reported = {report.backend: report for report in reports}
        since = max(self._started, self._jumped, self._database.absent_at)
        just_started = self._clock() - since < self._down_time
        services = self._rows.services
        if not services and just_started:
            return ["a first volume service"]
        return [
            f"{host} ({service.state_reason})" if service.state_reason else host
            for host, (service, age) in services.items()
            if not service.disabled
            and (age <= self._down_time or just_started)
            and (host not in reported or self._unavailable(reported[host]) is not None)
        ]

    def _read(self, reports: Iterable[Report]) -> _Rows:
        read_at = self._clock()
        with self._database.reading() as tx:
            services = service_rows.all_with_age(tx)
            use = pool_rows.allocations(tx)
        missing = {pool.storage_id for report in reports for pool in report.pools} - use.keys()
        for storage_id in sorted(missing):
            self._make_row(storage_id)
        self._notice_jump(services, read_at)
        volume_services = {each.host: (each, age) for each, age in services if each.binary == VOLUME_BINARY}
        return _Rows(volume_services, use, read_at)

    def _notice_jump(self, services: Sequence[tuple[Service, float]], read_at: float) -> None:
        """A clock that was set makes the living look silent until their next report."""
        if not services:
            return
        service, age = services[0]
        offset = service.updated_at / SECOND + age - read_at
        if self._offset is not None and abs(offset - self._offset) > JUMP * self._down_time:
            self._jumped = read_at
        self._offset = offset

    def _forget_absent(self, reports: Iterable[Report]) -> None:
        for host in self._seen.keys() - {pool.host for report in reports for pool in report.pools}:
            del self._seen[host]

    def _make_row(self, storage_id: str) -> None:
        try:
            self._database.write(pool_rows.ensure, storage_id)
        except IntegrityError:  # another service made it
            pass

    def _unavailable(self, report: Report) -> str | None:
        found = self._rows.services.get(report.backend)
        if found is None:
            return "its service is not registered"
        service, age = found
        if service.disabled:
            return f"its service is disabled: {service.disabled_reason or 'no reason given'}"
        if age > self._down_time and self._clock() - self._jumped >= self._down_time:
            return f"its service is down: {age:.1f} s without a sign > {self._down_time:g} s"
        if service.state == "down":
            return f"its service is down: {service.state_reason or 'no reason given'}"
        # A report of this incarnation tells that it is up, earlier than its row does.
        if service.state == "starting" and service.incarnation != report.incarnation:
            return "its service is starting"
        return None

    def _joined(self, pool: Pool, unavailable: str | None) -> Pool:
        """``pool`` with its use, the same object as before when nothing changed."""
        allocated, volumes = self._rows.use.get(pool.storage_id, (0, 0))
        reported, joined = self._seen.get(pool.host, (None, None))
        if (
            joined is None
            or reported is not pool
            or joined.allocated != allocated
            or joined.volumes != volumes
            or joined.unavailable != unavailable
        ):
            joined = replace(pool, allocated=allocated, volumes=volumes, unavailable=unavailable)
            self._seen[pool.host] = (pool, joined)
        return joined

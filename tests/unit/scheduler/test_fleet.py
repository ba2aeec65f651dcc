"""What a look at the fleet tells is of one moment."""

import time
from contextlib import closing

from volumed.scheduler.fleet import Fleet
from volumed.scheduler.pools import Report, ReportedPools
from volumed.scheduler.reports import read


class ReportsThatComeBetween(ReportedPools):
    """Nothing at the first question; the report is there at the second, however soon it is asked."""

    def __init__(self, report: Report) -> None:
        super().__init__(lifetime=60)
        self._coming = report
        self._asked = False

    def current(self) -> list[Report]:  # type: ignore[override]
        if not self._asked:
            self._asked = True
            return []
        return [self._coming]


def test_a_service_whose_report_comes_between_two_looks_is_awaited_or_has_pools(new_cloud) -> None:
    with closing(new_cloud()) as cloud:
        cloud.service("a@one")
        fleet = Fleet(cloud.database, ReportsThatComeBetween(read("a@one", cloud.capabilities("a@one"))), down_time=60)
        assert fleet.look() == ([], ["a@one"])
        pools, awaited = fleet.look()
        assert [pool.backend for pool in pools] == ["a@one"]
        assert awaited == []


def test_a_service_that_could_not_report_while_the_database_was_away_is_awaited(cloud) -> None:
    cloud.service("a@one")
    manager = cloud.scheduler()
    cloud.report("a@one")
    fleet = manager._fleet
    fleet._started = float("-inf")
    cloud.service("b@one", age=10_000)
    fleet.expire()
    assert fleet.look()[1] == []
    cloud.database.absent_at = time.monotonic()
    fleet.expire()
    assert fleet.look()[1] == ["b@one"]

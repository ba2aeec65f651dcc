"""``kill -9`` at every crash point that an operation passes, then a restart: it ended as asked and nothing is left.

The points are listed by the program itself: each operation runs once undisturbed and notes what it passes. Where the
backend fails, it ended as declared. The full product (``make crash``) kills each recovery again, at every point that
the recovery passes.
"""

from collections.abc import Iterator

import pytest

from tests.crash import abilities, cancelling, failing, scenarios
from tests.crash.killing import configuration_for, first_passages, kill_at, of_recovery, points_of
from tests.crash.scenarios import Scenario, Stage
from tests.lab.nursery import ForkedDaemon, forked_daemon

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.timeout(3600)]

#: Parts of a scenario's points, each a test of its own, so that workers can share them out.
PARTS = 3

ALL = (*scenarios.ALL, *failing.ALL, *cancelling.ALL, *abilities.ALL)


@pytest.fixture
def daemon(scenario: Scenario) -> Iterator[ForkedDaemon]:
    with forked_daemon(configuration_for(scenario)) as daemon:
        yield daemon


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_killed_at_each_point_it_ends_as_asked(daemon: ForkedDaemon, scenario: Scenario, cases: list[str]) -> None:
    for point in first_passages(points_of(daemon, scenario)):
        if not point.startswith(scenario.only):
            continue
        kill_at(daemon, scenario, point)
        cases.append(point)
    Stage(daemon).is_well()


@pytest.mark.full
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_killed_again_at_each_point_of_the_recovery_it_ends_as_asked(
    daemon: ForkedDaemon, scenario: Scenario, part: int, cases: list[str]
) -> None:
    for point in points_of(daemon, scenario)[part::PARTS]:
        recovery = of_recovery(kill_at(daemon, scenario, point))
        cases.append(point)
        for again in recovery if ":" not in point else ():
            kill_at(daemon, scenario, point, again)
            cases.append(f"{point}, {again}")
    Stage(daemon).is_well()

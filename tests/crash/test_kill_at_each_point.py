"""``kill -9`` at every crash point that an operation passes, then a restart: it ended as asked and nothing is left.

The points are listed by the program itself: each operation runs once undisturbed and notes what it passes. The full
product (``make crash``) kills each recovery again, at every point that the recovery passes.
"""

from collections.abc import Iterator

import pytest
import requests

from tests.crash import scenarios
from tests.crash.scenarios import Scenario, Stage
from tests.lab.nursery import ForkedDaemon, forked_daemon
from tests.lab.outside import Outside

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.timeout(3600)]

#: The sweep is what finds work that a lost message would have woken; here it shall not take seconds.
CONFIGURATION = "[operations]\nsweep_interval = 0.5\nsweep_age = 0.2\n"


@pytest.fixture
def daemon() -> Iterator[ForkedDaemon]:
    with forked_daemon(CONFIGURATION) as daemon:
        yield daemon


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.name)
def test_killed_at_each_point_it_ends_as_asked(daemon: ForkedDaemon, scenario: Scenario) -> None:
    points = _points_of(daemon, scenario)
    assert "api.accepted" in points
    for point in points:
        _kill_at(daemon, scenario, point)


@pytest.mark.full
@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.name)
def test_killed_again_at_each_point_of_the_recovery_it_ends_as_asked(daemon: ForkedDaemon, scenario: Scenario) -> None:
    cases = 0
    for point in _points_of(daemon, scenario):
        for again in _kill_at(daemon, scenario, point):
            _kill_at(daemon, scenario, point, again)
            cases += 1
    print(f"{scenario.name}: killed twice in {cases} ways")


def _points_of(daemon: ForkedDaemon, scenario: Scenario) -> list[str]:
    stage = Stage(daemon.session(), Outside(daemon))
    stage.remove(f"/volumes/{stage.volume()}")  # the backend is up from here on, and its points are passed
    scenario.prepare(stage)
    with daemon.trap.noting() as points:
        scenario.check(stage, scenario.ask(stage))
    scenario.clean(stage)
    assert stage.outside.differences() == []
    return points


def _kill_at(daemon: ForkedDaemon, scenario: Scenario, point: str, again: str | None = None) -> list[str]:
    """Kill at ``point``, and the recovery at ``again``; the points that the last recovery passed."""
    stage = Stage(daemon.session(), Outside(daemon))
    scenario.prepare(stage)
    answer = _ask_and_die(daemon, scenario, stage, point)
    if again is not None:
        daemon.trap.arm(again)
        daemon.spawn()
        daemon.wait_for_death_or_rest()
    try:
        with daemon.trap.noting() as passed:
            daemon.start()
            if answer is None or answer.status_code >= 500:
                answer = scenario.ask(stage)
            scenario.check(stage, answer)
        scenario.clean(stage)
        assert stage.outside.differences() == []
    except Exception as error:
        error.add_note(f"after kill -9 at {point} and {again}; the daemon said:\n{daemon.output()}")
        raise
    return passed


def _ask_and_die(daemon: ForkedDaemon, scenario: Scenario, stage: Stage, point: str) -> requests.Response | None:
    daemon.trap.arm(point)
    try:
        answer = scenario.ask(stage)
    except requests.RequestException:  # no answer, or one that breaks off
        answer = None
    daemon.wait_for_death()
    return answer

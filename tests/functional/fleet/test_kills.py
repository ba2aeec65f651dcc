"""A service of a fleet dies with SIGKILL: at each point that an operation passes, and at random under load.

Who passes a point may be the API, the scheduler or a backend's process; whoever it is dies there. The launcher starts a
backend again by itself, the others are started as systemd would. The scenarios and the judgement are those of the
embedded mode (``tests/crash``).
"""

import os
import time
from collections.abc import Iterator
from typing import cast

import pytest

from tests.crash import scenarios
from tests.crash.killing import configuration_for, first_passages, kill_at, of_recovery, points_of
from tests.crash.scenarios import Scenario, Stage
from tests.crash.test_random_kills import CONFIGURATION, Run, chosen_seed
from tests.lab import deployment
from tests.lab.fleet import FleetDaemon
from tests.lab.nursery import forked_daemon

pytestmark = [
    pytest.mark.part("tgtd"),
    pytest.mark.part("qemu-io"),
    pytest.mark.part("rabbitmq-server"),
    pytest.mark.part("postgres"),
    pytest.mark.timeout(3600),
]

#: Those whose points are killed at in every run; ``make crash-fleet`` takes them all.
CHOSEN = {"create", "delete", "attach"}

EACH = [each for each in scenarios.ALL if each.name in CHOSEN]
THE_OTHERS = [each for each in scenarios.ALL if each.name not in CHOSEN]

KILLS = 10


@pytest.fixture
def fleet(request: pytest.FixtureRequest) -> Iterator[FleetDaemon]:
    """A fleet configured for the test's scenario, or for load."""
    scenario = request.node.callspec.params.get("scenario") if hasattr(request.node, "callspec") else None
    configuration = configuration_for(scenario) if scenario else CONFIGURATION
    with deployment.chosen(deployment.FLEET), forked_daemon(configuration) as daemon:
        yield cast(FleetDaemon, daemon)


@pytest.mark.parametrize("scenario", EACH, ids=lambda scenario: scenario.name)
def test_whoever_is_killed_at_a_point_it_ends_as_asked(fleet: FleetDaemon, scenario: Scenario) -> None:
    for point in first_passages(points_of(fleet, scenario)):
        kill_at(fleet, scenario, point)
    Stage(fleet).is_well()


@pytest.mark.fleet
@pytest.mark.parametrize("scenario", THE_OTHERS, ids=lambda scenario: scenario.name)
def test_whoever_is_killed_at_a_point_of_the_others_it_ends_as_asked(fleet: FleetDaemon, scenario: Scenario) -> None:
    for point in first_passages(points_of(fleet, scenario)):
        kill_at(fleet, scenario, point)
    Stage(fleet).is_well()


@pytest.mark.fleet
@pytest.mark.parametrize("scenario", EACH, ids=lambda scenario: scenario.name)
def test_killed_again_in_the_recovery_it_ends_as_asked(fleet: FleetDaemon, scenario: Scenario) -> None:
    for point in first_passages(points_of(fleet, scenario)):
        for again in of_recovery(kill_at(fleet, scenario, point)):
            kill_at(fleet, scenario, point, again)
    Stage(fleet).is_well()


class _FleetRun(Run):
    """A kill takes one service, or one backend's process, at random."""

    def _die(self) -> None:
        fleet = cast(FleetDaemon, self.daemon)
        name = self.dice.choice(["api", "scheduler", "volume", "backend"])
        if name == "backend":
            for process in fleet.backends():
                process.kill()
        else:
            fleet.kill_service(name)
            fleet.start()


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_soak(fleet: FleetDaemon) -> None:
    run = _FleetRun(fleet, chosen_seed())
    end = time.monotonic() + 60 * float(os.environ.get("VOLUMED_SOAK_MINUTES", "10"))
    while time.monotonic() < end:
        run.round()
        run.tell()


def test_ten_kills_of_a_random_service_under_mixed_load(fleet: FleetDaemon) -> None:
    run = _FleetRun(fleet, chosen_seed())
    while run.kills < KILLS:
        run.round()
    run.tell()

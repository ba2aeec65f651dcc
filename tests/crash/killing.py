"""Kills a daemon at the points that a scenario passes, starts it again, and judges what it is then."""

import time
from collections.abc import Iterable

import requests

from tests.crash.scenarios import Scenario, Stage
from tests.lab.nursery import ForkedDaemon

#: Retries and pauses are few and short, and what a lost message would have woken is found at once.
CONFIGURATION = """
[DEFAULT]
report_interval = 0.5
[operations]
sweep_interval = 0.5
sweep_age = 0.2
retry_pause = 0.05
undo_timeout = 0.2
forward_retries = 1
busy_timeout = 0
"""

#: The same with a backend that fails on order.
FAULTY_CONFIGURATION = f"{CONFIGURATION}[file]\nvolume_driver = tests.lab.faulty_driver.FaultyDriver\n"

#: Points of every start alike. They are killed at in the tests of the start, and not again in each recovery.
_OF_EACH_START = ("file.pool.", "file.forget.", "file.probe.", "tgt.folder.")


def configuration_for(scenario: Scenario) -> str:
    if scenario.driver is not None:
        return f"{CONFIGURATION}[file]\nvolume_driver = {scenario.driver}\n"
    return FAULTY_CONFIGURATION if scenario.faulty else CONFIGURATION


def points_of(daemon: ForkedDaemon, scenario: Scenario) -> list[str]:
    """The points that the scenario passes undisturbed, in order."""
    stage = Stage(daemon)
    stage.remove(f"/volumes/{stage.volume()}")  # the backend is up from here on, and its points are passed
    scenario.prepare(stage)
    _come_to_rest(daemon)
    with daemon.trap.noting() as points:
        scenario.check(stage, scenario.ask(stage))
    scenario.clean(stage)
    stage.is_well()
    assert "api.accepted" in points
    return points


def _come_to_rest(daemon: ForkedDaemon) -> None:
    """Until what has ended, as everybody sees, has passed its last points, too."""
    while True:
        with daemon.trap.noting() as passed:
            time.sleep(0.1)
        if not passed:
            return


def kill_at(daemon: ForkedDaemon, scenario: Scenario, point: str, again: str | None = None) -> list[str]:
    """Kill at ``point``, and the recovery at ``again``; the points that the last recovery passed."""
    stage = Stage(daemon)
    scenario.prepare(stage)
    try:
        answer = _ask_and_die(daemon, scenario, stage, point)
        if again is not None:
            daemon.trap.arm(again)
            daemon.spawn()
            daemon.wait_for_death_or_rest()
        with daemon.trap.noting() as passed:
            daemon.start()
            if answer is None or answer.status_code >= 500:
                answer = scenario.ask(stage)
            scenario.check(stage, answer)
        stage.is_well()
        scenario.clean(stage)
    except Exception as error:
        error.add_note(f"after kill -9 at {point} and {again}; the daemon said:\n{daemon.output()}")
        raise
    return passed


def first_passages(points: Iterable[str]) -> list[str]:
    """Each point once."""
    return [point for point in points if ":" not in point]


def of_recovery(points: Iterable[str]) -> list[str]:
    """Those of the points, each once, that tell one recovery from another."""
    return [point for point in first_passages(points) if not point.startswith(_OF_EACH_START)]


def _ask_and_die(daemon: ForkedDaemon, scenario: Scenario, stage: Stage, point: str) -> requests.Response | None:
    """The first passage of a point comes for certain; a later one may not, where a retry found nothing to do."""
    daemon.trap.arm(point)
    try:
        answer = scenario.ask(stage)
    except requests.RequestException:  # no answer, or one that breaks off
        answer = None
    if ":" in point:
        daemon.wait_for_death_or_rest()
    else:
        daemon.wait_for_death()
    return answer

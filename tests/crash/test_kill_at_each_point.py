"""``kill -9`` at every crash point that an operation passes, then a restart: it ended as asked and nothing is left.

The points are listed by the program itself: each operation runs once undisturbed and notes what it passes.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.crash import scenarios
from tests.crash.scenarios import Scenario, Stage
from tests.lab.nursery import ForkedDaemon
from tests.lab.outside import Outside

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.timeout(600)]

#: The sweep is what finds work that a lost message would have woken; here it shall not take seconds.
CONFIGURATION = "[operations]\nsweep_interval = 0.5\nsweep_age = 0.2\n"


@pytest.fixture
def daemon() -> Iterator[ForkedDaemon]:
    folder = Path(tempfile.mkdtemp(prefix="volumed-"))
    daemon = ForkedDaemon(folder)
    daemon.state.mkdir(mode=0o700)
    (daemon.state / "volumed.conf").write_text(CONFIGURATION)
    try:
        daemon.start()
        yield daemon
        daemon.stop()
        assert daemon.processes() == [], daemon.output()
    finally:
        for process in daemon.processes():
            process.kill()
        psutil.wait_procs(daemon.processes(), timeout=10)
        shutil.rmtree(folder)


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.name)
def test_killed_at_each_point_it_ends_as_asked(daemon: ForkedDaemon, scenario: Scenario) -> None:
    points = _points_of(daemon, scenario)
    assert "api.accepted" in points
    for point in points:
        _kill_at(daemon, scenario, point)


def _points_of(daemon: ForkedDaemon, scenario: Scenario) -> list[str]:
    stage = Stage(daemon.session(), Outside(daemon))
    stage.remove(f"/volumes/{stage.volume()}")  # the backend is up from here on, and its points are passed
    scenario.prepare(stage)
    with daemon.trap.noting() as points:
        scenario.check(stage, scenario.ask(stage))
    scenario.clean(stage)
    assert stage.outside.differences() == []
    return points


def _kill_at(daemon: ForkedDaemon, scenario: Scenario, point: str) -> None:
    stage = Stage(daemon.session(), Outside(daemon))
    scenario.prepare(stage)
    daemon.trap.arm(point)
    try:
        answer = scenario.ask(stage)
    except requests.RequestException:  # no answer, or one that breaks off
        answer = None
    daemon.wait_for_death()
    daemon.start()
    try:
        if answer is None or answer.status_code >= 500:
            answer = scenario.ask(stage)
        scenario.check(stage, answer)
        scenario.clean(stage)
        assert stage.outside.differences() == []
    except Exception as error:
        error.add_note(f"after kill -9 at {point}; the daemon said:\n{daemon.output()}")
        raise

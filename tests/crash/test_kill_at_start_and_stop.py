"""``kill -9`` at every crash point of a start that restores exports, and of an orderly stop; then the next start."""

import time
from collections.abc import Iterator

import psutil
import pytest

from tests.crash.killing import CONFIGURATION, first_passages
from tests.crash.scenarios import CONNECTOR, PATIENCE, Stage
from tests.lab.nursery import ForkedDaemon, forked_daemon

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A daemon with two attached volumes and one that is not."""
    with forked_daemon(CONFIGURATION) as daemon:
        stage = Stage(daemon)
        attached = [stage.volume(), stage.volume()]
        for volume_id in attached:
            stage.rest.attach(volume_id, CONNECTOR["initiator"])
        stage.volume()
        stage.made["attached"] = set(attached)
        _is_restored(stage)
        yield stage


def test_a_start_that_restores_exports_is_killed_at_each_point(stage: Stage, cases: list[str]) -> None:
    daemon = _daemon_of(stage)
    _die_with_tgtd(daemon)
    with daemon.trap.noting() as points:
        daemon.start()
        _is_restored(stage)
    assert {"tgt.spawn.after", "tgt.target.after", "tgt.bind.after", "tgt.allow.after"} <= set(points)
    for point in first_passages(points):
        _die_with_tgtd(daemon)
        daemon.trap.arm(point)
        daemon.spawn()
        daemon.wait_for_death()
        _start_again(stage, point)
        cases.append(point)


def test_a_stop_is_killed_at_each_point(stage: Stage, cases: list[str]) -> None:
    daemon = _daemon_of(stage)
    with daemon.trap.noting() as points:
        assert daemon.stop() == 0
    daemon.start()
    _is_restored(stage)
    assert {"tgt.close.after", "tgt.stop.asked"} <= set(points)
    for point in first_passages(points):
        daemon.trap.arm(point)
        daemon.terminate()
        daemon.wait_for_death()
        _start_again(stage, point)
        cases.append(point)


def _daemon_of(stage: Stage) -> ForkedDaemon:
    assert isinstance(stage.daemon, ForkedDaemon)
    return stage.daemon


def _die_with_tgtd(daemon: ForkedDaemon) -> None:
    """As after a power cut: the daemon and its tgtd are gone, and so are all exports."""
    daemon.kill()
    left = daemon.processes()
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=PATIENCE)


def _start_again(stage: Stage, point: str) -> None:
    try:
        stage.daemon.start()
        _is_restored(stage)
    except Exception as error:
        error.add_note(f"after kill -9 at {point}; the daemon said:\n{stage.daemon.output()}")
        raise


def _is_restored(stage: Stage) -> None:
    """Wait until exactly the attached volumes are exported, and nothing else differs."""
    deadline = time.monotonic() + PATIENCE
    while (found := stage.outside.targets()) != stage.made["attached"]:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    stage.is_well()

"""A disk that is full from a crash point on, at which an operation is held, and has room again later.

Knows scenarios and their operations; knows nothing of what is on the disk.
"""

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from requests import Response

from tests.crash.killing import FAULTY_CONFIGURATION
from tests.crash.scenarios import CONNECTOR, PATIENCE, Scenario, Stage
from tests.lab.filesystems import Filler, filled
from tests.lab.nursery import ForkedDaemon, Held, forked_daemon

#: A small disk may hold sparse volumes that are far larger, and the scheduler does not mind that it is full.
CONFIGURATION = (
    f"{FAULTY_CONFIGURATION}max_over_subscription_ratio = 100000\n[scheduler]\nenabled_filters = AlreadyTriedFilter\n"
)

#: How a failed operation says that the pool's disk was full.
REASONS = ("No space left on device", "the copy needs")

#: Kinds of operations that are not retried: whoever manages says anew what he means.
ASKED_ANEW = {"volume.manage": "volumes", "snapshot.manage": "snapshots"}

Operation = dict[str, Any]

#: What is done while the disk is full: it is told who fills it, who waits, and the ids of earlier operations.
Meanwhile = Callable[[Filler, Held, Collection[str]], None]


@contextmanager
def daemon_with(state: Path, pool: Path) -> Iterator[ForkedDaemon]:
    """A daemon with its rows in ``state`` and its volumes in ``pool``."""
    state.mkdir(mode=0o700)
    pool.mkdir()
    (state / "pool").symlink_to(pool)
    with forked_daemon(CONFIGURATION, state=state) as daemon:
        yield daemon


class Ground:
    """``stage`` with ``disk``, which becomes full; ``bystander`` is a volume that has nothing to do with it."""

    def __init__(self, daemon: ForkedDaemon, disk: Path) -> None:
        self.stage = Stage(daemon)
        self.daemon = daemon
        self.disk = disk
        self.bystander = self.stage.volume()

    def points_of(self, scenario: Scenario) -> list[str]:
        """The points that it passes where nothing is full, each once; where the backend fails, those of its undo."""
        self._begin(scenario)
        with self.daemon.trap.noting() as noted:
            scenario.check(self.stage, scenario.ask(self.stage))
        self._leave(scenario)
        points = [point for point in noted if ":" not in point]
        begun = [point for point in points if point.endswith(".undo.begun")]
        return points[points.index(begun[0]) :] if begun else points

    def meet(self, scenario: Scenario, point: str, meanwhile: Meanwhile) -> list[Operation]:
        """The disk is full from ``point`` on and until ``meanwhile`` returns, which lets go whoever waits at the point.

        Returned is what failed for want of space; asked again with room, it has ended as asked.
        """
        self._begin(scenario)
        try:
            before = {each["id"] for each in self.operations_but(())}
            with ThreadPoolExecutor(1) as client, self.daemon.trap.holding(point) as held:
                asked = client.submit(scenario.ask, self.stage)
                held.wait()
                with filled(self.disk) as filler:
                    meanwhile(filler, held, before)
                answer = asked.result()
            failed = [each for each in self.operations_but(before) if is_for_want_of_space(each)]
            scenario.check(self.stage, self._repeated(scenario, failed, answer))
            self._leave(scenario)
        except Exception as error:
            error.add_note(f"full at {point} of {scenario.name}; the daemon said:\n{self.daemon.output()}")
            raise
        return failed

    def operations_but(self, before: Collection[str]) -> list[Operation]:
        """What has been accepted since."""
        rows = self.stage.outside.rows("SELECT id, kind, state, resource_id, error, tried FROM operations")
        return [row for row in rows if row["id"] not in before]

    def live_but(self, before: Collection[str]) -> list[Operation]:
        return [each for each in self.operations_but(before) if each["state"] not in ("succeeded", "failed")]

    def wait_for_end(self, before: Collection[str]) -> None:
        """Until whatever has been accepted since has ended."""
        deadline = time.monotonic() + PATIENCE
        while not self.operations_but(before) or (live := self.live_but(before)):
            assert time.monotonic() < deadline, live
            time.sleep(0.02)

    def serve_the_bystander(self, point: str) -> None:
        """Another volume is served while somebody is held at ``point``: it is reached, or looked after."""
        with self.daemon.session() as rest:
            path = f"/volumes/{self.bystander}"
            if point.startswith("tgt."):
                body = {"os-reset_status": {"status": "available"}}
                rest.post(f"{path}/action", json=body).raise_for_status()
            else:
                attachment = f"/attachments/{rest.attach(self.bystander, CONNECTOR['initiator'])['id']}"
                rest.delete(attachment).raise_for_status()
                rest.wait_until_gone(attachment)
            rest.wait_for_status(path, "available")

    def empty(self) -> None:
        """Nothing is left of anything."""
        self.stage.remove(f"/volumes/{self.bystander}")
        self.stage.is_well()
        assert self.stage.outside.files() == set()

    def _begin(self, scenario: Scenario) -> None:
        self.stage.made.clear()
        scenario.prepare(self.stage)

    def _leave(self, scenario: Scenario) -> None:
        """Whatever is on the disk is as the rows say, as are quota and allocation; the doctor finds nothing."""
        self.stage.is_well()
        scenario.clean(self.stage)

    def _repeated(self, scenario: Scenario, failed: list[Operation], answer: Response) -> Response:
        """Nothing is left of what failed, and with room it can be done; the answer that counts then."""
        if failed:
            self.stage.is_well()
        for each in failed:
            if each["kind"] in ASKED_ANEW:
                self.stage.remove(f"/{ASKED_ANEW[each['kind']]}/{each['resource_id']}")
                self.stage.made.pop("key", None)
                answer = scenario.ask(self.stage)
            else:
                retried = self.stage.rest.post(f"/operations/{each['id']}/action", json={"retry": {}})
                assert retried.status_code == 202, retried.text
        return answer


def is_for_want_of_space(operation: Operation) -> bool:
    told = f"{operation['error']} {operation['tried']}"
    return operation["state"] == "failed" and any(reason in told for reason in REASONS)

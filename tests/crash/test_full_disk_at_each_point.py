"""A disk that becomes full at each point of each operation: its declared end, others served, and nothing left.

First the disk of the pool, at each point of the driver; an operation that found no room has failed with that reason,
nothing is left of it, and asked again with room it succeeds. Then the disk of the rows, at each point between two
transactions; an operation waits for room and then goes on by itself. The disks are real, small and full to the last
block and the last file.
"""

import sqlite3
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.crash import cancelling, failing, scenarios
from tests.crash.full import Ground, daemon_with
from tests.crash.scenarios import PATIENCE, Scenario
from tests.lab.filesystems import Filler, small_ext4, xfs_with_reflink
from tests.lab.nursery import Held

pytestmark = [pytest.mark.part("tgtd"), pytest.mark.slow, pytest.mark.timeout(900)]

#: A cancellation of what waits is no operation of its own.
ALL = tuple(each for each in (*scenarios.ALL, *failing.ALL, *cancelling.ALL) if each is not cancelling.CANCEL_EXTEND)

#: What takes over others' files and gives them back, and all the rest.
MANAGING = (scenarios.MANAGE, scenarios.UNMANAGE, scenarios.MANAGE_SNAPSHOT, scenarios.UNMANAGE_SNAPSHOT)
OWN = tuple(each for each in ALL if each not in MANAGING)

#: Points of the driver and its target.
OF_THE_DRIVER = ("file.", "tgt.")

#: Points before something that needs a block or a file; whatever comes later needs neither.
CREATING = {"file.create.before"}
COPYING = {"file.copy.before", "file.copy.cleared", "file.copy.opened"}
NOTING = {"file.note.before"}
NEEDING_ROOM = {
    "create": CREATING,
    "clone": COPYING,
    "create from snapshot": COPYING,
    "snapshot": COPYING,
    "revert": COPYING,
    "manage": NOTING,
    "manage snapshot": NOTING,
}

#: On XFS a new name may need a block, too.
NAMING = {"file.copy.filled", "file.copy.after", "file.rename.before"}

#: Of a small disk.
MEBIBYTES, FILES = 32, 128


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name, since sockets may be below it."""
    with tempfile.TemporaryDirectory(prefix="volumed-") as name:
        yield Path(name)


# --- the disk of the pool ---------------------------------------------------------------------------------------------


@pytest.mark.part("mkfs.ext4")
@pytest.mark.parametrize("some", [OWN, pytest.param(MANAGING, marks=pytest.mark.full)], ids=["own", "managing"])
def test_a_pool_that_fills_up_at_each_point(folder: Path, cases: list[str], some: tuple[Scenario, ...]) -> None:
    with small_ext4(folder, MEBIBYTES, FILES) as disk, daemon_with(folder / "state", disk / "pool") as daemon:
        ground = Ground(daemon, disk)
        for scenario in some:
            assert _failing_points(ground, scenario, cases) == NEEDING_ROOM.get(scenario.name, set()), scenario.name
        ground.empty()


@pytest.mark.full
@pytest.mark.part("mkfs.xfs")
def test_a_pool_that_shares_extents_fills_up_at_each_point(folder: Path, cases: list[str]) -> None:
    """A copy that shares its extents needs few blocks, or none that XFS has not in reserve."""
    with xfs_with_reflink(folder) as disk, daemon_with(folder / "state", disk / "pool") as daemon:
        ground = Ground(daemon, disk)
        needing_room = [each for each in OWN if each.name in NEEDING_ROOM]
        for scenario in (*needing_room, scenarios.EXTEND, scenarios.DELETE):
            failing_points = _failing_points(ground, scenario, cases)
            allowed = NEEDING_ROOM.get(scenario.name, set())
            assert failing_points <= (allowed | NAMING if allowed is COPYING else allowed), scenario.name
            assert bool(failing_points) == bool(allowed), scenario.name
        ground.empty()


def _failing_points(ground: Ground, scenario: Scenario, cases: list[str]) -> set[str]:
    """The points at which a full pool makes the operation fail."""
    failing_points = set()
    for point in ground.points_of(scenario):
        if point.startswith(OF_THE_DRIVER):
            if ground.meet(scenario, point, partial(_serve_and_end, ground, point)):
                failing_points.add(point)
            cases.append(f"{scenario.name} {point}")
    return failing_points


def _serve_and_end(ground: Ground, point: str, filler: Filler, held: Held, before: Collection[str]) -> None:
    """Another volume is served, and the operation ends while there is no room."""
    ground.serve_the_bystander(point)
    held.release()
    ground.wait_for_end(before)


# --- the disk of the rows ---------------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.part("mkfs.ext4")
def test_a_database_whose_disk_fills_up_at_each_point(folder: Path, cases: list[str]) -> None:
    """What is before each operation's own steps is the same for all, and is tried once."""
    seen: set[str] = set()
    with small_ext4(folder, MEBIBYTES, FILES) as disk, daemon_with(disk / "state", folder / "pool") as daemon:
        ground = Ground(daemon, disk)
        for scenario in ALL:
            points = [each for each in ground.points_of(scenario) if not each.startswith(OF_THE_DRIVER)]
            for point in points:
                if point not in seen:
                    assert ground.meet(scenario, point, partial(_wait_for_room, ground)) == []
                    cases.append(f"{scenario.name} {point}")
            seen |= set(points)
        ground.empty()


def _wait_for_room(ground: Ground, filler: Filler, held: Held, before: Collection[str]) -> None:
    """No change is taken, what is there can be read, and what is under way neither ends nor is given up."""
    _leave_no_page(ground, filler)
    _refuses_changes(ground)
    live, told = ground.live_but(before), _refusals(ground)
    held.release()
    deadline = time.monotonic() + PATIENCE
    while _refusals(ground) == told:
        assert time.monotonic() < deadline, "nobody needed the database"
        time.sleep(0.02)
    assert ground.live_but(before) == live


def _refuses_changes(ground: Ground) -> None:
    with ground.daemon.session() as rest:
        refused = rest.post("/volumes", json={"volume": {"size": 1}})
        assert (refused.status_code, refused.headers["Retry-After"].isdigit()) == (503, True), refused.text
        assert rest.get(f"/volumes/{ground.bystander}").status_code == 200


def _refusals(ground: Ground) -> int:
    """How often somebody was told that there is no room."""
    return ground.daemon.output().count("database or disk is full")


def _leave_no_page(ground: Ground, filler: Filler) -> None:
    """The next transaction needs a new page of the log: SQLite would overwrite an old one else."""
    log = ground.daemon.state / "volumed.db-wal"
    deadline = time.monotonic() + PATIENCE
    while log.stat().st_size:
        assert time.monotonic() < deadline, "the log is never empty"
        filler.release()
        with closing(sqlite3.connect(ground.daemon.state / "volumed.db", timeout=20)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        filler.fill()

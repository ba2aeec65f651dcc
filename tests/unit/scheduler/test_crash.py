"""A scheduler killed in the middle of a placement: the next one ends it, and nothing is counted twice."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from volumed.db import pools, tables

SCRIPT = Path(__file__).with_name("doomed_scheduler.py")


def die_at(cloud, point, operation_id):
    report = json.dumps(cloud.capabilities("a@one", incarnation="doomed"))
    arguments = [cloud.database.url.render_as_string(hide_password=False), point, "a@one", report, operation_id]
    killed = subprocess.run([sys.executable, SCRIPT, *arguments], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.parametrize("point", ["volume.create.place.before", "volume.create.place.after"])
def test_a_create_whose_scheduler_was_killed_while_placing_is_placed_once(cloud, point):
    cloud.service("a@one")
    volume_id, operation_id = cloud.create(size=7)
    die_at(cloud, point, operation_id)
    cloud.scheduler()
    cloud.report("a@one")
    (operation,) = cloud.until_settled(operation_id)
    assert (operation.queue, operation.state, cloud.volume(volume_id).host) == ("a@one", "queued", "a@one#main")
    with cloud.database.reading() as tx:
        assert pools.allocations(tx) == {"storage-a@one": (7, 1)}


@pytest.mark.parametrize("point", ["volume.create.refuse.before", "volume.create.refuse.after"])
def test_a_create_whose_scheduler_was_killed_while_refusing_is_refused_once(cloud, point):
    cloud.service("a@one")
    volume_id, operation_id = cloud.create(size=700)
    die_at(cloud, point, operation_id)
    cloud.scheduler()
    cloud.report("a@one")
    (operation,) = cloud.until_settled(operation_id)
    assert (operation.state, cloud.volume(volume_id).status) == ("failed", "error")
    with cloud.database.reading() as tx:
        told = tx.execute(select(tables.events.c.event_type).where(tables.events.c.resource_id == volume_id)).all()
        assert [row[0] for row in told] == ["volume.create.error"]
        assert pools.allocations(tx).get("storage-a@one", (0, 0)) == (0, 0)

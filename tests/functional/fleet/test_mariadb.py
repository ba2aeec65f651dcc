"""A fleet on MariaDB: the life of a volume, and many requests at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.functional.fleet.conftest import MakeFleet
from tests.lab import databases
from tests.lab.fleet import FleetDaemon
from tests.lab.outside import Outside
from volumed.db import migrate
from volumed.db.engine import Database

pytestmark = [pytest.mark.part("rabbitmq-server"), pytest.mark.part("mariadbd")]


@pytest.fixture
def fleet(make_fleet: MakeFleet, tmp_path: Path) -> FleetDaemon:
    """On a database that is there as long as the fleet is."""
    return make_fleet(database=_migrated(tmp_path))


@contextmanager
def _migrated(folder: Path) -> Iterator[str]:
    with databases.empty("mariadb", folder) as url:
        database = Database(url)
        migrate.upgrade(database)
        database.close()
        yield url


def test_the_life_of_a_volume(fleet: FleetDaemon) -> None:
    outside = Outside(fleet)
    with fleet.session() as rest:
        origin = rest.make_volume()
        snapshot = rest.post("/snapshots", json={"snapshot": {"volume_id": origin}}).json()["snapshot"]["id"]
        rest.wait_for_status(f"/snapshots/{snapshot}", "available")
        copy = rest.make_volume(snapshot_id=snapshot)
        attachment = rest.attach(copy)
        rest.delete(f"/attachments/{attachment['id']}").raise_for_status()
        rest.wait_for_status(f"/volumes/{copy}", "available")
        assert rest.post(f"/volumes/{copy}/action", json={"os-extend": {"new_size": 2}}).status_code == 202
        rest.wait_for_status(f"/volumes/{copy}", "available")
        for path in (f"/snapshots/{snapshot}", f"/volumes/{copy}", f"/volumes/{origin}"):
            assert rest.delete(path).status_code == 202
            rest.wait_until_gone(path)
        told = rest.get("/doctor").json()["doctor"]
    assert (told["findings"], told["not_looked_at"]) == ([], [])
    assert outside.differences() == []


def test_many_requests_at_once_stay_within_their_quota(fleet: FleetDaemon) -> None:
    with fleet.session() as rest:
        rest.put("/os-quota-sets/admin", json={"quota_set": {"volumes": 10}}).raise_for_status()

        def ask(_: int) -> int:
            with fleet.session() as own:
                return own.post("/volumes", json={"volume": {"size": 1}}).status_code

        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(ask, range(16)))
        assert sorted(answers) == [202] * 10 + [413] * 6
        for volume in rest.get("/volumes").json()["volumes"]:
            rest.wait_for_status(f"/volumes/{volume['id']}", "available")
    assert Outside(fleet).differences() == []

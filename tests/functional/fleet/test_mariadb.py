"""A fleet on MariaDB: the life of a volume, and many requests at once."""

import pytest

from tests.functional.fleet import smoke
from tests.functional.fleet.conftest import MakeFleet
from tests.lab import databases

pytestmark = [pytest.mark.part("rabbitmq-server"), pytest.mark.part("mariadbd")]


def test_a_volumes_life_and_many_requests_at_once(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(database=databases.migrated("mariadb"))
    smoke.live_a_volumes_life(fleet)
    smoke.ask_for_more_than_the_quota_at_once(fleet)

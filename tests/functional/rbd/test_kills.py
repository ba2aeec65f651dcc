"""The service killed at every crash point of the driver that a request passes: the next start ends it as asked."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests

from tests.functional.rbd import deeds
from tests.functional.rbd.conftest import configuration
from tests.functional.rbd.deeds import Deed, Ground
from tests.functional.rbd.test_service import assert_is_clean, wait_until_empty
from tests.lab.daemon import PATIENCE
from tests.lab.nursery import ForkedDaemon, forked_daemon

pytestmark = [
    pytest.mark.part("ceph"),
    pytest.mark.rbd,
    pytest.mark.timeout(3600),
    pytest.mark.embedded_only("it is about a backend, and a fleet has the same ones"),
]


@pytest.fixture
def flattening(pools: dict[str, Any]) -> Iterator[ForkedDaemon]:
    """A service with one backend that wants volumes from snapshots flattened."""
    more = "rbd_flatten_volume_from_snapshot = true\n"
    with forked_daemon(configuration({"ssd": pools["ssd"]}, more)) as daemon:
        yield daemon


@pytest.mark.parametrize("deed", [pytest.param(deed, id=type(deed).__name__) for deed in deeds.ALL])
def test_killed_anywhere_the_next_start_ends_it(flattening: ForkedDaemon, pools: dict[str, Any], deed: Deed) -> None:
    service, client = flattening, pools["ssd"]
    with service.session() as rest:
        ground = Ground(service, client, rest, rest.make_volume())
        target = deed.prepare(ground)
        with service.trap.noting() as passed:
            deed.ask(ground, target)
            ground.settled()
        deed.check(ground, target)
    points = [point for point in passed if point.startswith("rbd.")]
    assert points
    for point in points:
        print(f"killed at {point}")
        with service.session() as ground.rest:
            target = deed.prepare(ground)
            ground.settled()
            service.trap.arm(point)
            with suppress(requests.ConnectionError):
                deed.ask(ground, target)
        service.wait_for_death_or_rest(PATIENCE)
        service.start()
        with service.session() as ground.rest:
            ground.settled()
            deed.check(ground, target)
            assert_is_clean(service)
    with service.session() as ground.rest:
        ground.gone(f"/volumes/{ground.source}")
        ground.settled()
    wait_until_empty(client)
    assert_is_clean(service)
    with ground.pool() as ioctx:
        from tests.lab.ceph import interrupted

        assert not interrupted.left(ioctx)

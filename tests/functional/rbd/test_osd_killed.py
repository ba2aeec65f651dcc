"""The OSD killed in the middle of each kind of operation, on a store that keeps what it said it has; and back."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.rbd.drivers import at, backend_of, set_up
from tests.functional.rbd.test_faults import CALLS, TIMEOUTS, assert_is_empty, bounded, clear, until_it_works
from volumed.driver.errors import BackendError

pytestmark = [
    pytest.mark.part("ceph"),
    pytest.mark.rbd,
    pytest.mark.timeout(900),
    pytest.mark.embedded_only("it is about the driver alone"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from tests.lab.ceph import cluster

    with cluster.own("bluestore") as own:
        yield own


@pytest.fixture(scope="module")
def client(cluster: Any) -> Iterator[Any]:
    """A pool that each test leaves empty."""
    with cluster.pool() as client:
        yield client


@pytest.mark.parametrize(
    ("prepare", "call", "point"),
    [pytest.param(prepare, call, point, id=name) for name, prepare, call, point in CALLS],
)
def test_a_killed_osd_makes_an_error_and_the_repeat_ends_well(
    cluster: Any,
    client: Any,
    tmp_path: Path,
    prepare: Callable[[Any], None],
    call: Callable[[Any], object],
    point: str,
) -> None:
    backend = backend_of(client, tmp_path, **TIMEOUTS)
    driver = set_up(backend)
    prepare(driver)
    try:
        with at(point, cluster.kill_osd):
            raised = bounded(lambda: call(driver))
    finally:
        cluster.start_osd()
    assert isinstance(raised, BackendError), raised
    until_it_works(lambda: call(driver))
    clear(driver)
    assert_is_empty(backend, driver)

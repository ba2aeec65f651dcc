"""A service with RBD backends on the run's one cluster, each with a pool and a key of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.rbd.drivers import backend_of, pool_of, set_up
from tests.lab.ceph.group import group_of
from tests.lab.nursery import ForkedDaemon, forked_daemon

if TYPE_CHECKING:
    from tests.lab.ceph.cluster import Client

CONFIGURATION = """
[DEFAULT]
enabled_backends = {names}
periodic_fuzzy_delay = 0
capability_interval = 1
[operations]
sweep_interval = 0.5
"""


def configuration(clients: "dict[str, Client]", more: str = "") -> str:
    """``volumed.conf`` of a service with a backend for each of ``clients``; ``more`` belongs to each backend."""
    backends = [group_of(client, name) + more for name, client in clients.items()]
    return CONFIGURATION.format(names=",".join(clients)) + "".join(backends)


@pytest.fixture
def pools() -> "Iterator[dict[str, Client]]":
    from tests.lab.ceph import cluster

    shared = cluster.shared()
    with shared.pool() as first, shared.pool() as second:
        yield {"ssd": first, "hdd": second}


@pytest.fixture
def service(pools: "dict[str, Client]") -> Iterator[ForkedDaemon]:
    """One with two backends, ``ssd`` and ``hdd``."""
    with forked_daemon(configuration(pools)) as daemon:
        yield daemon


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Any]:
    """One whose pool is empty."""
    from tests.lab.ceph import cluster

    with cluster.shared().pool() as client:
        yield backend_of(client, tmp_path)


@pytest.fixture
def driver(backend: Any) -> Any:
    return set_up(backend)


@pytest.fixture
def pool(backend: Any) -> Iterator[Any]:
    """The backend's, as others see it."""
    with pool_of(backend) as ioctx:
        yield ioctx

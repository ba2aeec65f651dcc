"""A service with RBD backends on the run's one cluster, each with a pool and a key of its own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

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

"""What functional tests share: a real ``volumed up`` each, or one for a whole module."""

from collections.abc import Iterator

import pytest

from tests.lab.daemon import Daemon, Session, running_daemon


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A ``volumed up`` of this test's own; at its end no process is left."""
    with running_daemon() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def shared_daemon() -> Iterator[Daemon]:
    """A ``volumed up`` for all tests of a module that leave it as they found it."""
    with running_daemon() as daemon:
        yield daemon


@pytest.fixture
def rest(daemon: Daemon) -> Iterator[Session]:
    """A REST session as the administrator of ``daemon``."""
    with daemon.session() as session:
        yield session

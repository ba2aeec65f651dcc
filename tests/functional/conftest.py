"""What functional tests share: the deployment that they run on, and a daemon each, or one for a whole module.

Every test runs on both deployments, unless its module or itself is marked ``embedded_only(why)``, or is in a folder
whose tests start no daemon or make their own.
"""

from collections.abc import Iterator

import pytest

from tests.conftest import require
from tests.lab import deployment
from tests.lab.daemon import Daemon, Session, running_daemon

#: Modules whose tests take long on a fleet, where ``fleet/`` has tests of the same: there they run in the full product.
LONG_ON_A_FLEET = {"test_hangs_and_poison.py", "test_lifecycle.py", "test_manage.py"}

#: Folders of tests that need no deployment.
WITHOUT = {"api", "rpc", "databases", "fleet", "lab"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that may start a daemon once on each deployment."""
    is_without = WITHOUT & set(metafunc.definition.path.parts)
    if not is_without and metafunc.definition.get_closest_marker("embedded_only") is None:
        marks = [pytest.mark.fleet] if metafunc.definition.path.name in LONG_ON_A_FLEET else []
        deployments = [deployment.EMBEDDED, pytest.param(deployment.FLEET, marks=marks)]
        metafunc.parametrize("deployed", deployments, indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def deployed(request: pytest.FixtureRequest) -> Iterator[str]:
    """What daemons are made of now."""
    wanted = getattr(request, "param", deployment.EMBEDDED)
    if wanted == deployment.FLEET:
        require("rabbitmq-server")
        require("postgres")
    with deployment.chosen(wanted):
        yield wanted


@pytest.fixture
def daemon(deployed: str) -> Iterator[Daemon]:
    """A daemon of this test's own; at its end no process is left."""
    with running_daemon() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def shared_daemon(deployed: str) -> Iterator[Daemon]:
    """A daemon for all tests of a module that leave it as they found it."""
    with running_daemon() as daemon:
        yield daemon


@pytest.fixture
def rest(daemon: Daemon) -> Iterator[Session]:
    """A REST session as the administrator of ``daemon``."""
    with daemon.session() as session:
        yield session

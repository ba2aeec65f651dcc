"""Tests of what only a fleet has: they make their own, whatever the deployment of the other tests."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lab.daemon import PATIENCE, looked_after
from tests.lab.fleet import FleetDaemon

#: Everything that waits waits shortly.
QUICK = """\
[DEFAULT]
report_interval = 0.5
service_down_time = 10
periodic_fuzzy_delay = 0
capability_interval = 1
graceful_shutdown_timeout = 5
[operations]
sweep_interval = 0.5
sweep_age = 0.2
[file]
target_helper = fake
"""

#: What a service cannot be without; nothing of it has to be there to be read.
_LEAST = """\
[DEFAULT]
transport_url = rabbit://nobody:nothing@127.0.0.1:9/
enabled_backends = file
[database]
connection = postgresql+psycopg://volumed@127.0.0.1:9/volumed
secrets_key_file = /nowhere
[file]
volume_driver = file
"""

MakeFleet = Callable[..., FleetDaemon]


def until(look: Callable[[], Any]) -> Any:
    """Wait until ``look`` finds something; what it finds."""
    deadline = time.monotonic() + 2 * PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def check(folder: Path, configuration: str) -> str:
    """What ``volumed-manage config check`` complains of in the configuration of a fleet; nothing of it runs."""
    command = [sys.executable, "-m", "volumed.cmd.manage", "config", "check"]
    for name, text in (("least.conf", _LEAST), ("volumed.conf", configuration)):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        command += ["--config-file", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.fixture
def make_fleet() -> Iterator[MakeFleet]:
    """Start a fleet with the nodes of these names beside its first one; at the end nothing is left of it.

    ``database``: where its rows are, in place of the run's PostgreSQL. ``kind``: how its services run;
    ``parts``: more of its own.
    """
    with ExitStack() as made:

        def make(
            *nodes: str,
            configuration: str = QUICK,
            database: AbstractContextManager[str] | None = None,
            kind: type[FleetDaemon] = FleetDaemon,
            **parts: str,
        ) -> FleetDaemon:
            url = made.enter_context(database) if database is not None else None
            fleet = kind(Path(tempfile.mkdtemp(prefix="volumed-")), database_url=url, **parts)
            fleet.state.mkdir(mode=0o700)
            (fleet.state / "volumed.conf").touch(mode=0o600)
            (fleet.state / "volumed.conf").write_text(configuration)
            for node in nodes:
                fleet.add_node(node)
            made.enter_context(looked_after(fleet))
            return fleet

        yield make

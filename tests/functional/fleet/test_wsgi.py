"""The API behind another's WSGI server, on the broker and the database of a fleet."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.functional.fleet.conftest import QUICK, MakeFleet
from tests.functional.fleet.test_lost_node import until
from tests.lab.daemon import MICROVERSION, PATIENCE, Session
from tests.lab.fleet import FleetDaemon

pytestmark = [
    pytest.mark.part("rabbitmq-server"),
    pytest.mark.part("postgres"),
]

WORKERS, CLIENTS = 2, 8
READY = "the API is ready in process"

CONFIGURATION = QUICK + "[api]\nallow_remote_noauth = true\n"


#: gunicorn imports the application and forks then; it dies with whoever has started it, and its workers with it.
COMMAND = (
    *("setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "gunicorn"),
    *("--workers", str(WORKERS), "--threads", "4", "--preload", "--bind", "127.0.0.1:0", "--no-control-socket"),
    "volumed.api.wsgi:application",
)


class Host:
    """gunicorn. ``url``: where its workers serve."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self.log = log
        self.url = until(lambda: self._url() or (process.poll() is not None and self.said()))

    def said(self) -> str:
        return self.log.read_text()

    def _url(self) -> str | None:
        found = re.search(r"Listening at: (http://\S+)", self.said())
        return found[1] if found else None


@contextmanager
def hosted(fleet: FleetDaemon, files: Sequence[Path]) -> Iterator[Host]:
    log = fleet.folder / "wsgi.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "VOLUMED_CONFIG_FILES": os.pathsep.join(map(str, files))},
        )
    try:
        yield Host(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
    assert status == 0, log.read_text()


def files_of(fleet: FleetDaemon) -> list[Path]:
    return [fleet.state / "fleet.conf", fleet.state / "volumed.conf"]


def ask_at_once(url: str) -> list[int]:
    """Enough at a time that no worker is left out for long."""

    def ask(_: int) -> int:
        return requests.get(f"{url}/v3/volumes", headers={"X-Auth-Token": "u:p"}, timeout=PATIENCE).status_code

    with ThreadPoolExecutor(CLIENTS) as threads:
        return list(threads.map(ask, range(CLIENTS)))


def test_gunicorn_serves_the_api_in_each_of_its_processes(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(configuration=CONFIGURATION)
    fleet.stop_services("api")
    with hosted(fleet, files_of(fleet)) as host:
        with Session(host.url, "admin:admin", MICROVERSION, fleet.watch) as rest:
            volume_id = rest.make_volume()
            assert rest.delete(f"/volumes/{volume_id}").status_code == 202
            rest.wait_until_gone(f"/volumes/{volume_id}")
        until(lambda: ask_at_once(host.url) == [200] * CLIENTS and host.said().count(READY) == WORKERS)
    assert "Traceback" not in host.said()


def test_a_hosted_api_that_believes_everybody_wants_that_to_be_permitted(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    with hosted(fleet, files_of(fleet)) as host:
        assert requests.get(f"{host.url}/v3/volumes", timeout=PATIENCE).status_code == 500
        assert "[api] allow_remote_noauth = true permits it" in host.said()

"""The API behind another's WSGI server, on the broker and the database of a fleet."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
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

CONFIGURATION = QUICK + "[api]\nallow_remote_noauth = true\n"


class Host:
    """The server's processes. ``urls``: where each serves."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self.log = log
        self.urls = until(lambda: self._urls() if len(self._urls()) == 2 or process.poll() is not None else None)

    def said(self) -> str:
        return self.log.read_text()

    def _urls(self) -> list[str]:
        return re.findall(r"^wsgi \d+ (http://\S+)$", self.said(), re.MULTILINE)


@contextmanager
def hosted(fleet: FleetDaemon, files: Sequence[Path]) -> Iterator[Host]:
    log = fleet.folder / "wsgi.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.wsgi_host", str(os.getpid())],
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


def test_any_wsgi_server_serves_the_api_in_each_of_its_processes(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(configuration=CONFIGURATION)
    fleet.stop_services("api")
    with hosted(fleet, files_of(fleet)) as host:
        for url in host.urls:
            with Session(url, "admin:admin", MICROVERSION, fleet.watch) as rest:
                volume_id = rest.make_volume()
                assert rest.delete(f"/volumes/{volume_id}").status_code == 202
                rest.wait_until_gone(f"/volumes/{volume_id}")
        assert host.said().count("the API is ready in process") == 2
    assert "Traceback" not in host.said()


def test_a_hosted_api_that_believes_everybody_wants_that_to_be_permitted(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    with hosted(fleet, files_of(fleet)) as host:
        assert requests.get(f"{host.urls[0]}/v3/volumes", timeout=PATIENCE).status_code == 500
        assert "[api] allow_remote_noauth = true permits it" in host.said()

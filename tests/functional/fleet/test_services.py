"""The services of a fleet by themselves: how they start, stop, are reloaded, and live without their parts."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest
import sqlalchemy

from tests.functional.fleet.conftest import QUICK, MakeFleet, until
from tests.lab.daemon import PATIENCE
from tests.lab.faulty_driver import Faults
from tests.lab.fleet import FleetDaemon
from tests.lab.proxy import Proxy

pytestmark = [pytest.mark.part("rabbitmq-server"), pytest.mark.part("postgres")]

FOR_EVER = 3600.0

#: A backend that fails on order, and is given up quickly.
FAULTY = (
    QUICK.replace("[operations]", "[operations]\nblocked_after = 1\nstuck_timeout = 2")
    + "volume_driver = tests.lab.faulty_driver.FaultyDriver\n"
)


def run(service: str, *files: Path) -> "subprocess.CompletedProcess[str]":
    """A service that must refuse to start."""
    arguments = [part for path in files for part in ("--config-file", str(path))]
    command = [sys.executable, "-m", "volumed.cmd.service", service, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_fleet_on_a_broker_and_a_database_server_is_managed_and_reloaded_while_it_works(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet()
    it_is_on_a_broker_and_a_database_server(fleet)
    volumed_manage_says_how_it_is(fleet)
    a_reload_takes_over_what_may_change_and_drops_nothing(fleet)


def it_is_on_a_broker_and_a_database_server(fleet: FleetDaemon) -> None:
    with fleet.session() as rest:
        rest.make_volume()
    assert fleet.broker is not None
    names = set(fleet.broker.queues())
    host = next(name for name in names if name.startswith("volumed-volume.")).partition(".")[2]
    assert {"volumed-volume", "volumed-scheduler", f"volumed-volume.{host}"} <= names
    until(lambda: len(fleet.broker.connections()) >= 3)
    assert not (fleet.state / "volumed.db").exists()


def test_a_call_that_is_stuck_is_free_in_the_next_process_and_other_services_notice_nothing(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet(configuration=FAULTY)
    faults = Faults(fleet.state, "file")
    with fleet.session() as rest:
        served = rest.make_volume()
        others = [fleet.services[name].pid for name in ("api", "scheduler", "volume")]
        (backend,) = fleet.backends()
        faults.order("create", None, pause=FOR_EVER)
        volume_id = rest.create_volume()["id"]
        rest.wait_for_status(f"/volumes/{volume_id}", "available")
        assert "is stuck in step provision" in fleet.output()
        assert "backend file has ended: status 75; it starts again in 0.1 s" in fleet.output()
        assert not psutil.pid_exists(backend.pid)
        assert [fleet.services[name].pid for name in ("api", "scheduler", "volume")] == others
        assert rest.get(f"/volumes/{served}").json()["volume"]["status"] == "available"


def test_a_stop_hands_back_what_runs_and_the_next_start_ends_it(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(configuration=FAULTY.replace("stuck_timeout = 2", "stuck_timeout = 600"))
    faults = Faults(fleet.state, "file")
    with fleet.session() as rest:
        rest.make_volume()
        faults.order("create", None, pause=FOR_EVER)
        volume_id = rest.create_volume()["id"]
        until(lambda: rest.get("/operations", params={"state": "running"}).json()["operations"])
        assert fleet.stop_services("volume") == 0
        assert "stops with work under way; the next start goes on with it" in fleet.output()
        fleet.start()
        rest.wait_for_status(f"/volumes/{volume_id}", "available")


def a_reload_takes_over_what_may_change_and_drops_nothing(fleet: FleetDaemon) -> None:
    backend = fleet.backends()
    configuration = fleet.state / "volumed.conf"
    configuration.write_text(QUICK.replace("[DEFAULT]", "[DEFAULT]\ndebug = true"))
    for child in fleet.services.values():
        child.send_signal(signal.SIGHUP)
    until(lambda: fleet.output().count("the configuration was read again") == 3)
    until(lambda: " DEBUG volumed" in fleet.output())
    assert fleet.backends() == backend
    with fleet.session() as rest:
        rest.make_volume()


def test_a_service_waits_for_its_database_also_for_one_that_vanishes_while_it_starts(
    tmp_path: Path, make_fleet: MakeFleet
) -> None:
    fleet = make_fleet()
    url = sqlalchemy.make_url(fleet.database_url)
    own, log = tmp_path / "own.conf", tmp_path / "log"
    with Proxy(url.port or 0) as proxy, log.open("w") as output:
        proxy.refuse()
        own.touch(mode=0o600)
        own.write_text(
            f"[DEFAULT]\nhost = other\nstate_path = {tmp_path}\n[database]\n"
            f"connection = {url.set(port=proxy.port).render_as_string(hide_password=False)}\n"
        )
        command = [sys.executable, "-m", "volumed.cmd.service", "scheduler", *fleet.files(), "--config-file", str(own)]
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            until(lambda: "waits for the database" in log.read_text())
            # It answers, and is gone when it is asked for the schema; and again, when the service is to be recorded.
            for said in (b"alembic_version", b"UPDATE services"):
                assert proxy.refuse_from(said).wait(PATIENCE)
                waits = log.read_text().count("waits for the database")
                until(lambda waits=waits: log.read_text().count("waits for the database") > waits)
            proxy.restore()
            until(lambda: "service volumed-scheduler on other has started" in log.read_text())
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("service", ["api", "scheduler", "volume"])
def test_a_service_without_a_configuration_says_what_is_missing(service: str, tmp_path: Path) -> None:
    done = run(service)
    assert (done.returncode, done.stderr) == (2, f"volumed-{service}: --config-file: a service needs at least one\n")
    path = tmp_path / "volumed.conf"
    path.write_text("[DEFAULT]\ntransport_url = rabbit://guest:guest@127.0.0.1:9/\n")
    path.chmod(0o644)
    assert "secrets_key_file: every node needs the same file" in run(service, path).stderr
    path.write_text("[DEFAULT]\ntransport_url = rabbit://h:9/\n[database]\nsecrets_key_file = /nowhere\n")
    assert "transport_url is a secret and everybody on this node can read it; chmod o= " in run(service, path).stderr
    path.write_text("[DEFAULT]\ntransport_urk = x\n")
    assert "[DEFAULT] transport_urk: there is no such option; did you mean transport_url?" in run(service, path).stderr


def volumed_manage_says_how_it_is(fleet: FleetDaemon) -> None:
    assert fleet.manage("db", "version").stdout.startswith("000")
    assert fleet.manage("db", "check").returncode == 0
    assert fleet.manage("db", "upgrade").stdout.startswith("the schema is at 000")
    assert "every option is known" in fleet.manage("config", "check").stdout
    listed = fleet.manage("service", "list").stdout
    assert "volumed-scheduler" in listed
    assert "volumed-volume" in listed


def test_the_doctor_alone_refuses_a_backend_that_runs_and_repairs_one_that_does_not(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    with fleet.session() as rest:
        rest.make_volume()
    refused = fleet.manage("doctor")
    assert refused.returncode == 2
    assert "is already running as process" in refused.stderr
    fleet.stop_services("volume")
    (fleet.state / "pool" / f"volume-{uuid.uuid4()}").write_bytes(b"nobody's")
    assert fleet.manage("doctor").returncode == 1
    assert fleet.manage("doctor", "--repair", "--all").returncode == 0
    assert fleet.manage("doctor").returncode == 0
    assert os.listdir(fleet.state / "pool").count("volume-") == 0
    fleet.start()

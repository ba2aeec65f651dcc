"""What the services of a fleet log: one request can be followed through all of them."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.functional.fleet.conftest import QUICK, MakeFleet, check, until
from tests.lab.fleet import FleetDaemon

pytestmark = [
    pytest.mark.part("rabbitmq-server"),
    pytest.mark.part("postgres"),
]

OPERATION_HEADER = "Volumed-Operation-Id"
REQUEST_HEADER = "x-openstack-request-id"


def lines(fleet: FleetDaemon) -> list[dict[str, Any]]:
    """What was logged as JSON; a line that is half written is left out."""
    whole = [line for line in fleet.output().split("\n")[:-1] if line.startswith("{")]
    return [json.loads(line) for line in whole]


def of_operation(fleet: FleetDaemon, operation_id: str) -> list[dict[str, Any]]:
    """The lines that name the operation in their text or in their fields."""
    return [each for each in lines(fleet) if operation_id in json.dumps(each)]


def test_a_create_is_followed_by_its_ids_through_every_service_in_json(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(configuration=QUICK.replace("[DEFAULT]", "[DEFAULT]\nuse_json = true\ndebug = true", 1))
    with fleet.session() as rest:
        answer = rest.post("/volumes", json={"volume": {"size": 1}})
        rest.wait_for_status(f"/volumes/{answer.json()['volume']['id']}", "available")
    request_id, operation_id = answer.headers[REQUEST_HEADER], answer.headers[OPERATION_HEADER]
    until(lambda: {"api", "scheduler", "engine"} <= tellers(of_operation(fleet, operation_id)))
    told = of_operation(fleet, operation_id)
    assert {each["extra"]["request_id"] for each in told} == {request_id}
    assert {each["extra"]["operation_id"] for each in told} == {operation_id}
    assert len({each["process"] for each in told}) == 3


def tellers(told: list[dict[str, Any]]) -> set[str]:
    """Which of the three services have said something, by who speaks there."""
    rooms = {"volumed.api": "api", "volumed.scheduler": "scheduler", "volumed.operations": "engine"}
    return {name for room, name in rooms.items() for each in told if each["name"].startswith(room)}


def test_in_text_a_create_is_followed_by_its_ids_and_sighup_changes_how_much_is_said(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()
    a_create_is_followed_in_text(fleet)
    sighup_makes_it_say_details_and_stop_again(fleet)


def a_create_is_followed_in_text(fleet: FleetDaemon) -> None:
    with fleet.session() as rest:
        answer = rest.post("/volumes", json={"volume": {"size": 1}})
        rest.wait_for_status(f"/volumes/{answer.json()['volume']['id']}", "available")
    ids = re.escape(f"[{answer.headers[REQUEST_HEADER]} {answer.headers[OPERATION_HEADER]}] ")
    for room in ("api", "scheduler", "operations"):
        until(lambda room=room: re.search(rf" \d+ INFO volumed\.{room}\.\S+: {ids}", fleet.output()))


def sighup_makes_it_say_details_and_stop_again(fleet: FleetDaemon) -> None:
    configuration = fleet.state / "volumed.conf"
    details = rf" {fleet.services['api'].pid} DEBUG volumed\.api"
    for debug, path in (("true", "/volumes/detail?limit=1"), ("false", "/volumes/detail?limit=2")):
        before = fleet.output().count("the configuration was read again")
        configuration.write_text(QUICK.replace("[DEFAULT]", f"[DEFAULT]\ndebug = {debug}", 1))
        fleet.services["api"].send_signal(signal.SIGHUP)
        until(lambda before=before: fleet.output().count("the configuration was read again") > before)
        said = len(fleet.output())
        with fleet.session() as rest:
            rest.get(path).raise_for_status()
            rest.create_volume()
        until(lambda said=said: re.search(r"INFO volumed\.api\.\S+: \[req-\S+ \S+\] POST", fleet.output()[said:]))
        assert bool(re.search(details, fleet.output()[said:])) == (debug == "true")


def test_an_option_of_the_log_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert "did you mean use_json?" in check(tmp_path, QUICK.replace("[DEFAULT]", "[DEFAULT]\nuse_jsn = true", 1))

"""The file driver over LIO passes the suite: through the helper, and with a kill between any two writes of configfs."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.file_backend import FileBackend
from tests.lab.libiscsi import NamedIscsi
from volumed.driver.conformance import DriverConformance, Lab
from volumed.driver.conformance.scenarios import Scenario, Stage, scenarios
from volumed.driver.interface import Driver
from volumed.driver.registry import Setup
from volumed_drivers.helper.wire import Hello
from volumed_drivers.targets.lio.fabric import Fabric
from volumed_drivers.targets.lio.helper import Desk
from volumed_drivers.targets.lio.requests import Request
from volumed_drivers.targets.lio.target import LioTarget

pytestmark = pytest.mark.guest

OPTIONS = {"target_port": 3260}
EXPORTS = [scenario for scenario in scenarios() if "export" in scenario.name]
UNDONE = [scenario for scenario in EXPORTS if scenario.undo]


class TestFileOverLio(DriverConformance):
    """What LIO has a part in; the file driver's own kills are as over tgt."""

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileBackend]:
        backend = FileBackend(tmp_path_factory.mktemp("lio"), "lio", NamedIscsi(), options=OPTIONS)
        yield backend
        backend.close()

    @pytest.mark.parametrize("scenario", EXPORTS, ids=lambda scenario: scenario.name)
    def test_killed_anywhere_and_asked_again_it_is_done(
        self, lab: Lab, driver: Driver, stage: Stage, scenario: Scenario
    ) -> None:
        super().test_killed_anywhere_and_asked_again_it_is_done(lab, driver, stage, scenario)

    @pytest.mark.parametrize("scenario", UNDONE, ids=lambda scenario: scenario.name)
    def test_killed_anywhere_and_undone_nothing_is_left(
        self, lab: Lab, driver: Driver, stage: Stage, scenario: Scenario
    ) -> None:
        super().test_killed_anywhere_and_undone_nothing_is_left(lab, driver, stage, scenario)


class AtOurDesk:
    """The helper's work done in this process, so that a kill is between two writes of it."""

    def __init__(self) -> None:
        self._desk = Desk(Fabric(("/",)))

    def meet(self) -> None:
        self.ask(Hello())

    def ask(self, request: Request) -> Any:
        return self._desk.answer(request, os.geteuid())


def at_our_desk(setup: Setup) -> LioTarget:
    return LioTarget(setup, AtOurDesk())


class TestFileOverLioWriteByWrite:
    """The suite's kills, of the calls that LIO has a part in."""

    driver = DriverConformance.driver
    stage = DriverConformance.stage

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> FileBackend:
        return FileBackend(tmp_path_factory.mktemp("desk"), f"{__name__}.at_our_desk", NamedIscsi(), options=OPTIONS)

    @pytest.mark.parametrize("scenario", EXPORTS, ids=lambda scenario: scenario.name)
    def test_killed_anywhere_and_asked_again_it_is_done(
        self, lab: FileBackend, driver: Driver, stage: Stage, scenario: Scenario
    ) -> None:
        DriverConformance.test_killed_anywhere_and_asked_again_it_is_done(self, lab, driver, stage, scenario)

    @pytest.mark.parametrize("scenario", UNDONE, ids=lambda scenario: scenario.name)
    def test_killed_anywhere_and_undone_nothing_is_left(
        self, lab: FileBackend, driver: Driver, stage: Stage, scenario: Scenario
    ) -> None:
        DriverConformance.test_killed_anywhere_and_undone_nothing_is_left(self, lab, driver, stage, scenario)

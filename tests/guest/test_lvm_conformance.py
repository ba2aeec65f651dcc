"""The LVM driver passes the suite on a real device-mapper: thin in full, thick in full where the full product runs."""

from collections.abc import Iterator

import pytest

from tests.lab.data_paths import Local
from tests.lab.lvm_backend import LvmBackend, volume_group
from volumed.driver.conformance import DriverConformance
from volumed.driver.conformance.scenarios import Stage, scenarios
from volumed.driver.interface import Driver

pytestmark = pytest.mark.guest


class TestThinOverFake(DriverConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LvmBackend]:
        with volume_group("thin", "/dev/ubda") as group:
            yield LvmBackend(tmp_path_factory.mktemp("thin"), group, "fake", Local())


class Thick(DriverConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LvmBackend]:
        with volume_group("thick", "/dev/ubdb") as group:
            options = {"lvm_type": "thick"}
            yield LvmBackend(tmp_path_factory.mktemp("thick"), group, "fake", Local(), options=options)


@pytest.mark.full
class TestThickOverFake(Thick):
    """All of it."""


class TestThickOverFakeSampled(Thick):
    """Everything but the kills, which are those of ``TestThickOverFake``; some are here."""

    @pytest.mark.parametrize("name", ["create"])
    def test_killed_anywhere_and_asked_again_it_is_done(
        self, lab: LvmBackend, driver: Driver, stage: Stage, name: str
    ) -> None:
        (scenario,) = [each for each in scenarios() if each.name == name]
        super().test_killed_anywhere_and_asked_again_it_is_done(lab, driver, stage, scenario)

    @pytest.mark.parametrize("name", ["create"])
    def test_killed_anywhere_and_undone_nothing_is_left(
        self, lab: LvmBackend, driver: Driver, stage: Stage, name: str
    ) -> None:
        (scenario,) = [each for each in scenarios() if each.name == name]
        super().test_killed_anywhere_and_undone_nothing_is_left(lab, driver, stage, scenario)

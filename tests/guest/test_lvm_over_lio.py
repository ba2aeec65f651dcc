"""Logical volumes over LIO pass the suite: the classic volume node, on a real kernel."""

from collections.abc import Iterator

import pytest

from tests.lab.libiscsi import NamedIscsi
from tests.lab.lvm_backend import LvmBackend, volume_group
from volumed.driver.conformance import DriverConformance, Lab
from volumed.driver.conformance.scenarios import Stage
from volumed.driver.interface import Driver, VolumeRef

pytestmark = [pytest.mark.guest, pytest.mark.full]

GIB = 1024**3


class Thin(DriverConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LvmBackend]:
        with volume_group("overlio", "/dev/ubda") as group:
            options = {"target_port": 3260}
            yield LvmBackend(tmp_path_factory.mktemp("overlio"), group, "lio", NamedIscsi(), options=options)


class TestThinOverLio(Thin):
    """All of it, and a session that goes on while its volume grows."""

    def test_a_session_sees_a_volume_grow(self, lab: Lab, driver: Driver, stage: Stage) -> None:
        driver.create(stage.source)
        access = stage.access("first")
        driver.ensure_export(stage.source, [access])
        with lab.data.session(driver.connection_info(stage.source, access)) as session:
            driver.extend(stage.source, 2)
            driver.ensure_export(VolumeRef(stage.source.id, 2, stage.source.pool), [access])
            assert session.has_pattern(0, 2 * GIB - 65536, 65536)
        driver.remove_export(stage.source)

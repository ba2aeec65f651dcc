"""Logical volumes, exported by LIO and by tgt, pass the suite on a real kernel: the classic volume node.

Each time all of it thin over LIO, and of the others what the two of a pair have to do with each other; all of each in
the full product.
"""

from collections.abc import Iterator
from typing import ClassVar

import pytest

from tests.lab.libiscsi import NamedIscsi
from tests.lab.lvm_backend import LvmBackend, helper, volume_group
from volumed.driver.conformance import DriverConformance, Lab
from volumed.driver.conformance.scenarios import Stage
from volumed.driver.interface import Driver, VolumeRef

pytestmark = pytest.mark.guest

GIB = 1024**3


class LvmConformance(DriverConformance):
    """On a group with a disk of its own, by the options of the class."""

    KIND = "thin"
    TARGET = "lio"
    #: The wipe has tests of its own (``test_lvm``); here it is short.
    OPTIONS: ClassVar = {"target_port": 3260, "volume_clear_size": 64}

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LvmBackend]:
        name = f"{cls.KIND}-{cls.TARGET}"
        with volume_group(f"group-{name}", "/dev/ubda") as group:
            options = cls.OPTIONS | {"lvm_type": cls.KIND}
            backend = LvmBackend(tmp_path_factory.mktemp(name), group, cls.TARGET, NamedIscsi(), options=options)
            yield backend
            backend.close()


class TestThinOverLio(LvmConformance):
    """And a session that goes on while its volume grows."""

    def test_a_session_sees_a_volume_grow(self, lab: Lab, driver: Driver, stage: Stage) -> None:
        driver.create(stage.source)
        access = stage.access("first")
        driver.ensure_export(stage.source, [access])
        with lab.data.session(driver.connection_info(stage.source, access)) as session:
            driver.extend(stage.source, 2)
            driver.ensure_export(VolumeRef(stage.source.id, 2, stage.source.pool), [access])
            assert session.has_pattern(0, 2 * GIB - 65536, 65536)
        driver.remove_export(stage.source)


class TestThickOverLio(LvmConformance):
    """LVM's commands are run, and its devices opened, by the helper."""

    KIND = "thick"

    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LvmBackend]:
        folder = tmp_path_factory.mktemp("by-the-helper")
        with volume_group("helped", "/dev/ubda") as group, helper(folder / "lvm.sock", group):
            options = cls.OPTIONS | {"lvm_type": "thick", "lvm_helper_socket": str(folder / "lvm.sock")}
            backend = LvmBackend(folder, group, "lio", NamedIscsi(), options=options)
            yield backend
            backend.close()


class TestThinOverTgt(LvmConformance):
    TARGET = "tgt"


class TestThickOverTgt(LvmConformance):
    KIND, TARGET = "thick", "tgt"

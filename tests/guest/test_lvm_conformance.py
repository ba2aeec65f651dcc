"""The LVM driver passes the suite on a real device-mapper: thin each time, thick where the full product runs.

What is thick's own is tried each time by ``test_lvm``.
"""

from collections.abc import Iterator

import pytest

from tests.lab.data_paths import Local
from tests.lab.lvm_backend import LvmBackend, volume_group
from volumed.driver.conformance import DriverConformance

pytestmark = pytest.mark.guest


class TestThinOverFake(DriverConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LvmBackend]:
        with volume_group("thin", "/dev/ubda") as group:
            yield LvmBackend(tmp_path_factory.mktemp("thin"), group, "fake", Local())


@pytest.mark.full
class TestThickOverFake(DriverConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LvmBackend]:
        with volume_group("thick", "/dev/ubdb") as group:
            options = {"lvm_type": "thick"}
            yield LvmBackend(tmp_path_factory.mktemp("thick"), group, "fake", Local(), options=options)

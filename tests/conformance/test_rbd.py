"""The RBD driver passes the suite on a real cluster."""

from collections.abc import Iterator

import pytest

from volumed.driver.conformance import DriverConformance


@pytest.mark.part("ceph")
class TestRbd(DriverConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
        from tests.lab.ceph import cluster
        from tests.lab.ceph.data_paths import Librbd
        from tests.lab.rbd_backend import RbdBackend

        with cluster.shared().pool() as client:
            yield RbdBackend(client, tmp_path_factory.mktemp("rbd"), Librbd(client.configuration))

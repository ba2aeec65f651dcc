"""The file driver passes the suite: over a real tgtd and a fake target, with reflink and without."""

from collections.abc import Iterator

import pytest

from tests.lab.data_paths import Iscsi, Local
from tests.lab.file_backend import FileBackend
from tests.lab.filesystems import xfs_with_reflink
from volumed.driver.conformance import DriverConformance


class TestFileOverFake(DriverConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> FileBackend:
        return FileBackend(tmp_path_factory.mktemp("fake"), "fake", Local())


@pytest.mark.part("tgtd")
@pytest.mark.part("qemu-io")
class TestFileOverTgt(DriverConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileBackend]:
        backend = FileBackend(tmp_path_factory.mktemp("tgt"), "tgt", Iscsi())
        yield backend
        backend.close()


@pytest.mark.part("tgtd")
@pytest.mark.part("qemu-io")
@pytest.mark.part("mkfs.xfs")
class TestFileOverTgtWithReflink(DriverConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def lab(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileBackend]:
        folder = tmp_path_factory.mktemp("xfs")
        with xfs_with_reflink(folder) as mounted:
            options = {"file_pool_path": str(mounted / "pool")}
            backend = FileBackend(folder / "state", "tgt", Iscsi(), options=options)
            yield backend
            backend.close()

    def test_copies_share_their_extents(self, lab: FileBackend) -> None:
        driver = lab.driver()
        driver.do_setup()
        assert driver.capabilities().snapshot_attached_support
        assert driver.capabilities().pools[0].features["reflink"]

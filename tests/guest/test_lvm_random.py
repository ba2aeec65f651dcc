"""Random runs of logical volumes over LIO: what is read goes over iSCSI sessions that live as long as their volumes."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.libiscsi import NamedIscsi, Session
from tests.lab.lvm_backend import LvmBackend, volume_group
from tests.lab.random_run import GIB, RandomRun, seed
from volumed.driver.interface import Access, Driver, VolumeRef
from volumed.model.credentials import new_credentials

pytestmark = pytest.mark.guest

DATA = NamedIscsi()
HOST = Access("attachment", DATA.initiator("host"), False, "host", new_credentials()["password"])


class Attached:
    """One host that logs in to a volume when it first uses it, and stays until the volume is released."""

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[Session, ExitStack]] = {}

    def read(self, driver: Driver, volume: VolumeRef, offset: int, length: int) -> bytes:
        return self._session(driver, volume).read(offset, length)

    def write(self, driver: Driver, volume: VolumeRef, offset: int, data: bytes) -> None:
        self._session(driver, volume).write(offset, data)

    def size(self, driver: Driver, volume: VolumeRef) -> int:
        return self._session(driver, volume).size()

    def release(self, driver: Driver, volume: VolumeRef) -> None:
        session = self._sessions.pop(volume.id, None)
        if session is not None:
            session[1].close()
        driver.remove_export(volume)

    def restarted(self, driver: Driver) -> None:
        """The service puts right what is exported; the sessions go on."""
        for volume_id in self._sessions:
            found = driver.exports()[volume_id]
            driver.ensure_export(VolumeRef(volume_id, found.size_bytes // GIB, "pool"), [HOST])

    def _session(self, driver: Driver, volume: VolumeRef) -> Session:
        if volume.id not in self._sessions:
            driver.ensure_export(volume, [HOST])
            stack = ExitStack()
            session = stack.enter_context(DATA.session(driver.connection_info(volume, HOST)))
            self._sessions[volume.id] = session, stack
        return self._sessions[volume.id][0]


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[LvmBackend]:
    with volume_group("runs", "/dev/ubda") as group:
        backend = LvmBackend(tmp_path, group, "lio", DATA, options={"target_port": 3260})
        yield backend
        backend.close()


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("thin", 500),
        pytest.param("thin", 5000, marks=[pytest.mark.full, pytest.mark.timeout(3600)]),
        pytest.param("thick", 1000, marks=[pytest.mark.full, pytest.mark.timeout(3600)]),
    ],
)
def test_what_is_read_is_what_was_written(backend: LvmBackend, kind: str, steps: int) -> None:
    of_kind = replace(backend, options=backend.options | {"lvm_type": kind})
    if kind == "thin":
        run = RandomRun(of_kind.ready, Attached(), seed(), most=3, largest=100)
    else:  # a snapshot takes as much room as its volume
        run = RandomRun(of_kind.ready, Attached(), seed(), most=3, largest=3, fills=True)
    for _ in range(steps):
        run.step()
    run.end()

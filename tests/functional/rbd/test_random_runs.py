"""Random runs of the RBD driver; what a client reads goes over a connection of its own."""

from typing import Any

import pytest

from tests.lab.random_run import RandomRun, seed
from volumed.driver.interface import Access, Driver, VolumeRef

pytestmark = [pytest.mark.part("ceph"), pytest.mark.embedded_only("it is about the driver alone")]

ANYBODY = Access(attachment_id="a", initiator=None, read_only=False, username="a", password="not-used-here")


class Images:
    """Clients that open an image for each look, by ``pool``."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def read(self, driver: Driver, volume: VolumeRef, offset: int, length: int) -> bytes:
        with self._opened(volume) as image:
            return bytes(image.read(offset, length))

    def write(self, driver: Driver, volume: VolumeRef, offset: int, data: bytes) -> None:
        with self._opened(volume) as image:
            image.write(data, offset)

    def size(self, driver: Driver, volume: VolumeRef) -> int:
        with self._opened(volume) as image:
            return int(image.size())

    def release(self, driver: Driver, volume: VolumeRef) -> None:
        """Nobody has it open."""

    def restarted(self, driver: Driver) -> None:
        """The images are the cluster's."""

    def _opened(self, volume: VolumeRef) -> Any:
        import rbd

        return rbd.Image(self._pool, f"volume-{volume.id}")


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1000, pytest.param(10_000, marks=pytest.mark.rbd)])
@pytest.mark.timeout(3600)
def test_what_is_read_is_what_was_written(backend: Any, steps: int) -> None:
    def start() -> Driver:
        driver: Driver = backend.driver()
        driver.do_setup()
        return driver

    information = start().connection_info(VolumeRef("any", 1, "pool"), ANYBODY)
    with backend.data.connected(information) as pool:
        run = RandomRun(start, Images(pool), seed())
        for _ in range(steps):
            run.step()
        run.end()

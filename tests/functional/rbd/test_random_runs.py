"""Random writes, snapshots, clones, reverts, growth and deletes against a model of what must be read, by a seed."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from volumed.driver.errors import BackendBusy
from volumed.driver.interface import Access, SnapshotRef, VolumeRef

pytestmark = [pytest.mark.part("ceph"), pytest.mark.embedded_only("it is about the driver alone")]

MIB = 1024**2

#: What is written at once, and how many places there are in the first GiB; the rest of a volume stays zeros.
BLOCK = 64 * 1024
PLACES = 64

#: Distance of two places, which lie in objects of their own and across their borders.
STRIDE = 1024**3 // PLACES + 4096

#: Volumes at a time.
MOST = 5

ANYBODY = Access(attachment_id="a", initiator=None, read_only=False, username="a", password="not-used-here")


def ignore(done: int, total: int) -> None:
    """A progress that nobody watches."""


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Any]:
    from tests.lab.ceph import cluster
    from tests.lab.ceph.data_paths import Librbd
    from tests.lab.rbd_backend import RbdBackend

    with cluster.shared().pool() as client:
        yield RbdBackend(client, tmp_path, Librbd(client.configuration))


@dataclass
class Model:
    """A volume with what its places hold (0 where nothing was written), and its snapshots with theirs."""

    ref: VolumeRef
    places: dict[int, int]
    snapshots: dict[str, tuple[SnapshotRef, dict[int, int]]] = field(default_factory=dict)


class Run:
    """The driver and the model side by side; data go over ``pool``, a connection of their own."""

    def __init__(self, backend: Any, pool: Any, seed: int) -> None:
        self.random = random.Random(seed)
        self.pool = pool
        self.driver = backend.driver()
        self.driver.do_setup()
        self.volumes: list[Model] = []
        self.deleted: list[VolumeRef] = []
        self.number = 0

    def step(self) -> None:
        if not self.volumes:
            self.create()
            return
        steps = [self.write] * 8 + [self.read] * 4 + [self.snapshot, self.revert, self.extend, self.remove_snapshot]
        steps += [self.clone, self.clone, self.delete, self.create, self.flatten, self.purge]
        self.random.choice(steps)()

    def create(self) -> None:
        if len(self.volumes) < MOST:
            ref = self._ref(2)
            self.driver.create(ref)
            self.volumes.append(Model(ref, {}))

    def write(self) -> None:
        volume, place, value = self._any(), self.random.randrange(PLACES), self.random.randrange(1, 256)
        with self._opened(volume) as image:
            image.write(bytes([value]) * BLOCK, place * STRIDE)
        volume.places[place] = value

    def read(self) -> None:
        self._check(self._any(), self.random.sample(range(PLACES), 4))

    def snapshot(self) -> None:
        volume = self._any()
        self.number += 1
        taken = SnapshotRef(f"s{self.number}", volume.ref, volume.ref.size)
        self.driver.create_snapshot(taken, True, ignore)
        volume.snapshots[taken.id] = (taken, dict(volume.places))

    def remove_snapshot(self) -> None:
        volume = self._any()
        if volume.snapshots:
            taken, _ = volume.snapshots.pop(self.random.choice(list(volume.snapshots)))
            self.driver.delete_snapshot(taken)

    def revert(self) -> None:
        volume = self._any()
        if volume.snapshots:
            taken, places = list(volume.snapshots.values())[-1]
            self.driver.revert(volume.ref, taken, ignore)
            volume.places = dict(places)

    def extend(self) -> None:
        volume = self._any()
        self.driver.extend(volume.ref, volume.ref.size + 1)
        volume.ref = replace(volume.ref, size=volume.ref.size + 1)

    def clone(self) -> None:
        source = self._any()
        if len(self.volumes) == MOST:
            return
        ref, places = self._ref(source.ref.size), dict(source.places)
        if source.snapshots and self.random.random() < 0.5:
            taken, places = self.random.choice(list(source.snapshots.values()))
            self.driver.create_from_snapshot(ref, taken, ignore)
        else:
            self.driver.create_from_volume(ref, source.ref, ignore)
        self.volumes.append(Model(ref, dict(places)))

    def flatten(self) -> None:
        self.driver.flatten(self._any().ref, ignore)

    def delete(self) -> None:
        volume = self._any()
        for taken, _ in volume.snapshots.values():
            self.driver.delete_snapshot(taken)
        self.driver.delete(volume.ref)
        self.volumes.remove(volume)
        self.deleted.append(volume.ref)

    def purge(self) -> None:
        """What clones live on stays for later."""
        for ref in list(self.deleted):
            try:
                self.driver.purge(ref, ignore)
            except BackendBusy:
                continue
            self.deleted.remove(ref)

    def end(self) -> None:
        """Everything is read, deleted and purged; nothing is left."""
        for volume in self.volumes:
            self._check(volume, range(PLACES))
        while self.volumes:
            self.delete()
        while self.deleted:
            left = len(self.deleted)
            self.purge()
            assert len(self.deleted) < left, f"nothing frees {self.deleted}"
        assert not self.driver.audit()

    def _check(self, volume: Model, places: Any) -> None:
        with self._opened(volume) as image:
            assert image.size() == volume.ref.size * 1024**3
            for place in places:
                wanted = bytes([volume.places.get(place, 0)]) * BLOCK
                assert image.read(place * STRIDE, BLOCK) == wanted, f"{volume.ref.id} differs at place {place}"

    def _any(self) -> Model:
        return self.random.choice(self.volumes)

    def _opened(self, volume: Model) -> Any:
        """The image on a connection that is not the driver's."""
        import rbd

        return rbd.Image(self.pool, f"volume-{volume.ref.id}")

    def _ref(self, size: int) -> VolumeRef:
        self.number += 1
        return VolumeRef(f"v{self.number}", size, "pool")


@pytest.mark.parametrize("steps", [1000, pytest.param(10_000, marks=pytest.mark.rbd)])
@pytest.mark.timeout(3600)
def test_what_is_read_is_what_was_written(backend: Any, steps: int) -> None:
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    print(f"SEED={seed}")
    with backend.data.connected(set_up_information(backend)) as pool:
        run = Run(backend, pool, seed)
        for _ in range(steps):
            run.step()
        run.end()


def set_up_information(backend: Any) -> Any:
    """The connection information of any volume of the backend."""
    driver = backend.driver()
    driver.do_setup()
    return driver.connection_info(VolumeRef("any", 1, "pool"), ANYBODY)

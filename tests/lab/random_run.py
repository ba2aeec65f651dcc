"""Random writes, snapshots, clones, reverts, growth and deletes by a driver, beside a model of what must be read.

Knows the driver's interface, and a way to a volume's data that a driver's own tests bring along.
"""

import os
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from volumed.driver.errors import BackendBusy, BackendFull
from volumed.driver.interface import Driver, Flattens, Purges, Reverts, SnapshotRef, VolumeRef, unwatched

GIB = 1024**3

#: What is written at once, and how many places there are in the first GiB; the rest of a volume stays zeros.
BLOCK = 64 * 1024
PLACES = 64

#: Distance of two places, which lie in objects and chunks of their own and across their borders.
STRIDE = GIB // PLACES + 4096

#: GiB of a new volume: all places are in it.
SIZE = 2


class Clients(Protocol):
    """Whoever uses the volumes, by a way that is not the driver's."""

    def read(self, driver: Driver, volume: VolumeRef, offset: int, length: int) -> bytes: ...

    def write(self, driver: Driver, volume: VolumeRef, offset: int, data: bytes) -> None: ...

    def size(self, driver: Driver, volume: VolumeRef) -> int:
        """Bytes, as a client sees them now."""
        ...

    def release(self, driver: Driver, volume: VolumeRef) -> None:
        """Let it go: it is reverted or deleted next."""
        ...

    def restarted(self, driver: Driver) -> None:
        """The service has started again; ``driver`` is its driver object."""
        ...


@dataclass
class Model:
    """A volume with what its places hold (0 where nothing was written), and its snapshots with theirs."""

    ref: VolumeRef
    places: dict[int, int]
    snapshots: dict[str, tuple[SnapshotRef, dict[int, int]]] = field(default_factory=dict)


def seed() -> int:
    """``SEED`` of the environment, or one of chance; told, so that a failure is replayed."""
    chosen = int(os.environ.get("SEED") or random.randrange(2**32))
    print(f"SEED={chosen}")
    return chosen


class RandomRun:
    """The driver and the model side by side. ``most``: volumes at a time; ``largest``: GiB to which one grows.

    ``fills``: there is not room for all of that; what the driver refuses therefore has never been.
    """

    def __init__(
        self,
        start: Callable[[], Driver],
        clients: Clients,
        seed: int,
        most: int = 5,
        largest: int = 100,
        fills: bool = False,
    ) -> None:
        self._random = random.Random(seed)
        self._start = start
        self._clients = clients
        self._most = most
        self._largest = largest
        self._fills = fills
        self._driver = start()
        self._volumes: list[Model] = []
        self._deleted: list[VolumeRef] = []
        self._number = 0

    def step(self) -> None:
        if not self._volumes:
            self._create()
            return
        steps = [self._write] * 10 + [self._read] * 6 + [self._snapshot, self._remove_snapshot, self._extend]
        steps += [self._clone, self._clone, self._delete, self._create, self._purge, self._restart]
        if isinstance(self._driver, Reverts):
            steps.append(self._revert)
        if isinstance(self._driver, Flattens):
            steps.append(self._flatten)
        self._random.choice(steps)()

    def end(self) -> None:
        """Everything is read, deleted and purged; nothing is left."""
        for volume in self._volumes:
            self._check(volume, range(PLACES))
        while self._volumes:
            self._delete()
        while self._deleted:
            left = len(self._deleted)
            self._purge()
            assert len(self._deleted) < left, f"nothing frees {self._deleted}"
        assert not self._driver.audit()

    def _create(self) -> None:
        if len(self._volumes) < self._most:
            ref = self._ref(SIZE)
            with self._room(lambda: self._remove(ref)):
                self._driver.create(ref)
                self._volumes.append(Model(ref, {}))

    def _write(self) -> None:
        volume, place, value = self._any(), self._random.randrange(PLACES), self._random.randrange(1, 256)
        self._clients.write(self._driver, volume.ref, place * STRIDE, bytes([value]) * BLOCK)
        volume.places[place] = value

    def _read(self) -> None:
        self._check(self._any(), self._random.sample(range(PLACES), 4))

    def _snapshot(self) -> None:
        volume = self._any()
        self._number += 1
        taken = SnapshotRef(f"s{self._number}", volume.ref, volume.ref.size)
        with self._room(lambda: self._driver.delete_snapshot(taken)):
            self._driver.create_snapshot(taken, True, unwatched)
            volume.snapshots[taken.id] = (taken, dict(volume.places))

    def _remove_snapshot(self) -> None:
        volume = self._any()
        if volume.snapshots:
            taken, _ = volume.snapshots.pop(self._random.choice(list(volume.snapshots)))
            self._driver.delete_snapshot(taken)

    def _revert(self) -> None:
        volume = self._any()
        if volume.snapshots:
            assert isinstance(self._driver, Reverts)
            taken, places = list(volume.snapshots.values())[-1]
            self._clients.release(self._driver, volume.ref)
            self._driver.revert(volume.ref, taken, unwatched)
            volume.places = dict(places)

    def _extend(self) -> None:
        volume = self._any()
        if volume.ref.size < self._largest:
            if not self._driver.capabilities().online_extend_support:
                self._clients.release(self._driver, volume.ref)
            with self._room(lambda: None):
                self._driver.extend(volume.ref, volume.ref.size + 1)
                volume.ref = replace(volume.ref, size=volume.ref.size + 1)

    def _clone(self) -> None:
        source = self._any()
        if len(self._volumes) == self._most:
            return
        ref, places = self._ref(source.ref.size), dict(source.places)
        with self._room(lambda: self._remove(ref)):
            if source.snapshots and self._random.random() < 0.5:
                taken, places = self._random.choice(list(source.snapshots.values()))
                self._driver.create_from_snapshot(ref, taken, unwatched)
            else:
                self._driver.create_from_volume(ref, source.ref, unwatched)
            self._volumes.append(Model(ref, dict(places)))

    def _flatten(self) -> None:
        assert isinstance(self._driver, Flattens)
        self._driver.flatten(self._any().ref, unwatched)

    def _delete(self) -> None:
        volume = self._any()
        self._clients.release(self._driver, volume.ref)
        for taken, _ in volume.snapshots.values():
            self._driver.delete_snapshot(taken)
        self._remove(volume.ref)
        self._volumes.remove(volume)

    def _remove(self, ref: VolumeRef) -> None:
        if self._driver.delete(ref) is not None:
            self._deleted.append(ref)

    @contextmanager
    def _room(self, undo: Callable[[], object]) -> Iterator[None]:
        """What the block asks for may be refused for want of room; it is undone then, as an operation is."""
        try:
            yield
        except BackendFull:
            if not self._fills:
                raise
            undo()

    def _purge(self) -> None:
        """What clones live on stays for later."""
        for ref in list(self._deleted):
            assert isinstance(self._driver, Purges)
            try:
                self._driver.purge(ref, unwatched)
            except BackendBusy:
                continue
            self._deleted.remove(ref)

    def _restart(self) -> None:
        self._driver.close()
        self._driver = self._start()
        self._clients.restarted(self._driver)

    def _check(self, volume: Model, places: Iterable[int]) -> None:
        assert self._clients.size(self._driver, volume.ref) == volume.ref.size * GIB
        for place in places:
            found = self._clients.read(self._driver, volume.ref, place * STRIDE, BLOCK)
            wanted = bytes([volume.places.get(place, 0)]) * BLOCK
            assert found == wanted, f"{volume.ref.id} differs at place {place}"

    def _any(self) -> Model:
        return self._random.choice(self._volumes)

    def _ref(self, size: int) -> VolumeRef:
        self._number += 1
        return VolumeRef(f"v{self._number}", size, "pool")

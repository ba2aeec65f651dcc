"""The LVM driver beside bare LVM commands, on a kernel of its own: ``make bench-lvm``.

``measure`` boots a guest and runs this module in it; there ``main`` measures, and prints what it found as JSON.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figure import Figure, milliseconds
from tests.lab.data_paths import Local
from tests.lab.guest.machine import guest
from tests.lab.lvm_backend import LvmBackend, volume_group
from volumed.driver.interface import SnapshotRef, VolumeRef, unwatched

#: Volumes that each figure is the median of; each is made by the driver and by hand in turn.
ROUNDS = 15

#: Seconds that all of it may take.
PATIENCE = 1200.0


def measure() -> Iterator[Figure]:
    """Create, snapshot, clone and delete of a thin volume, each beside the one command that it is."""
    with guest(blank=[24]) as machine:
        done = machine.run([sys.executable, "-m", "bench.lvm"], timeout=PATIENCE, folder=Path.cwd())
    assert done.status == 0, done.complaint
    for name, (ours, raw, command) in json.loads(done.output.splitlines()[-1]).items():
        yield Figure(f"lvm: {name}", ours, "ms", "below 1.3 x", raw, command)


def main() -> None:
    """In the guest."""
    with volume_group("vg", "/dev/ubda") as group, tempfile.TemporaryDirectory() as folder:
        backend = LvmBackend(Path(folder), group, "fake", Local(), options={"lvm_type": "thin"})
        print(json.dumps({name: _medians(work) for name, work in _works(backend).items()}))


#: One round: milliseconds by the driver and by hand, and what was done by hand.
Work = Callable[[int], tuple[float, float, str]]


def _works(backend: LvmBackend) -> dict[str, Work]:
    driver = backend.ready()
    labels = ["--addtag", "volumed/test-deployment/lvm", "--addtag", "volumed.volume=raw"]

    def volume(number: int) -> VolumeRef:
        return VolumeRef(f"v{number}", 1, backend.pool)

    def snapshot(number: int) -> SnapshotRef:
        return SnapshotRef(f"s{number}", volume(number), 1)

    def copied(number: int) -> VolumeRef:
        return VolumeRef(f"c{number}", 1, backend.pool)

    def beside(ours: Callable[[int], object], *command: str) -> Work:
        def both(number: int) -> tuple[float, float, str]:
            words = [word.format(number) for word in command]
            return milliseconds(lambda: ours(number)), milliseconds(lambda: _bare(words)), command[0]

        return both

    thin = ["lvcreate", "-y", "-V", "1g", "-T", "vg/vg-pool", "-n"]
    share = ["lvcreate", "-y", "-s", "-n"]
    return {
        "create": beside(lambda n: driver.create(volume(n)), *thin, "raw{}", *labels),
        "snapshot": beside(
            lambda n: driver.create_snapshot(snapshot(n), False, unwatched), *share, "raws{}", *labels, "vg/raw{}"
        ),
        "clone of a snapshot": beside(
            lambda n: driver.create_from_snapshot(copied(n), snapshot(n), unwatched),
            *(*share, "rawc{}", "-k", "n", "-K", "-ay", *labels, "vg/raws{}"),
        ),
        "delete of a snapshot": beside(lambda n: driver.delete_snapshot(snapshot(n)), "lvremove", "-y", "vg/raws{}"),
        "delete": beside(lambda n: driver.delete(volume(n)), "lvremove", "-y", "vg/raw{}"),
    }


def _medians(work: Work) -> tuple[float, float, str]:
    rounds = [work(number) for number in range(ROUNDS)]
    return (
        statistics.median(each[0] for each in rounds),
        statistics.median(each[1] for each in rounds),
        rounds[0][2],
    )


def _bare(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()

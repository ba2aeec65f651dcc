"""A node with hundreds of exported thin volumes that starts again, on a kernel of its own: what its exports cost.

``measure`` boots a guest and runs this module in it; there ``main`` measures, and prints what it found as JSON. What
is measured is all that a start does for exports: rows, locks, LVM, and LIO by its helper.
"""

import json
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.figure import Figure, milliseconds
from bench.lio_inside import INITIATOR, SECRET, bare_export, bare_remove
from tests.lab.data_paths import Local
from tests.lab.guest.machine import guest
from tests.lab.lvm_backend import LvmBackend, lvm, volume_group
from tests.lab.sealed import seal_in
from volumed.db import attachments, tables, volume_types, volumes
from volumed.db.engine import Database
from volumed.driver.interface import VolumeRef
from volumed.operations.locks import NodeLocks
from volumed.volume.backend import Backend
from volumed.volume.exports import reconcile

#: Exported volumes of the node.
COUNT = 500

#: Seconds that all of it may take: each volume is one LVM command in a slow guest.
PATIENCE = 1800.0

HOST = "node@lvm"
GROUP = "vg"


def measure() -> Iterator[Figure]:
    """After a reboot all are made; a start beside exports that are right changes nothing."""
    with guest(blank=[24]) as machine:
        done = machine.run([sys.executable, "-m", "bench.lvm_restart"], timeout=PATIENCE, folder=Path.cwd())
    assert done.status == 0, done.complaint
    told = json.loads(done.output.splitlines()[-1])
    what = f"{COUNT} exported volumes"
    yield Figure(
        f"{what} after a reboot, each",
        told["made"] / COUNT,
        "ms",
        "5 ms",
        told["bare"] / COUNT,
        "lvchange, bare writes",
    )
    yield Figure(f"{what}, nothing to change", told["unchanged"], "ms", "1500 ms", told["read"], "one vgs")


def main() -> None:
    """In the guest."""
    with volume_group(GROUP, "/dev/ubda") as group, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backend = LvmBackend(folder, group, "lio", Local(), options={"lvm_type": "thin", "target_port": 3260})
        print(json.dumps(_measured(backend)))


def _measured(lvm_backend: LvmBackend) -> dict[str, float]:
    driver, folder = lvm_backend.ready(), lvm_backend.folder
    database = Database(f"sqlite:///{folder}/volumed.db", seal=seal_in(folder))
    tables.METADATA.create_all(database.engine)
    database.write(volume_types.ensure_default, "__DEFAULT__")
    ids = [str(uuid.uuid4()) for _ in range(COUNT)]
    for volume_id in ids:
        driver.create(VolumeRef(volume_id, 1, GROUP))
        _attached(database, volume_id)
    names = [f"{GROUP}/volume-{volume_id}" for volume_id in ids]
    bare = milliseconds(partial(_bare, names, ids))
    for number in range(COUNT):
        bare_remove(number)
    lvm("lvchange", "-an", *names)

    start = partial(_started, lvm_backend, database)
    told = {"bare": bare, "made": milliseconds(start), "unchanged": milliseconds(start)}
    told["read"] = milliseconds(lambda: lvm("vgs", "-o", "lv_name,lv_size,lv_tags", GROUP))
    for volume_id in ids:
        driver.remove_export(VolumeRef(volume_id, 1, GROUP))
    lvm("lvremove", "-y", "-f", GROUP)
    return told


def _started(lvm_backend: LvmBackend, database: Database) -> None:
    """As a new process does it."""
    backend = Backend(HOST, lvm_backend.ready(), database, export_on_create=False)
    assert reconcile(backend, NodeLocks(lvm_backend.folder / "locks"))


def _bare(names: list[str], ids: list[str]) -> None:
    """Activated by one command, and written down, asking nothing."""
    lvm("lvchange", "-an", *names)
    lvm("lvchange", "-ay", "-K", *names)
    for number, volume_id in enumerate(ids):
        bare_export(number, Path(f"/dev/{GROUP}/volume-{volume_id}"))


def _attached(database: Database, volume_id: str) -> None:
    with database.reading() as tx:
        kind = volume_types.get(tx, "__DEFAULT__").id
    values = {"project_id": "p", "user_id": "u"}
    add: Callable[..., None] = database.write
    add(
        volumes.add,
        id=volume_id,
        size=1,
        availability_zone="nova",
        volume_type_id=kind,
        bootable=False,
        multiattach=False,
        metadata={},
        facts={},
        status="in-use",
        host=f"{HOST}#{GROUP}",
        storage_id="s",
        **values,
    )
    add(
        attachments.add,
        id=str(uuid.uuid4()),
        volume_id=volume_id,
        attach_status="attached",
        attach_mode="rw",
        connector={"initiator": INITIATOR},
        credentials={"username": "user", "password": SECRET},
        **values,
    )


if __name__ == "__main__":
    main()

"""LIO's exports beside the bare writes of configfs; a program of its own in a guest, which prints its figures as JSON.

    python -m bench.lio_inside COUNT...

For each count so many targets are there (of ram disks, made by bare writes); measured are one export more and its
removal: by the bare writes that any exporter needs, and by the target over the helper's socket.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from volumed.driver.interface import Access, Export, Owner
from volumed.driver.registry import Setup
from volumed_drivers.targets.lio.target import LioTarget

CORE = Path("/sys/kernel/config/target/core")
ISCSI = Path("/sys/kernel/config/target/iscsi")
PREFIX = "iqn.2010-10.org.bench:"
INITIATOR = "iqn.2026-01.bench:initiator"
PORTAL = "127.0.0.1:3260"
SECRET = "a-secret-of-bench"
SIZE = 1 << 26

#: Exports that are measured for each figure.
ROUNDS = 30


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "disk").write_bytes(b"")
        os.truncate(folder / "disk", SIZE)
        target = made_target(folder)
        target.setup()
        (ISCSI / "warm").parent.mkdir(exist_ok=True)
        there = 0
        for count in counts:
            while there < count:
                bare_export(there, None)
                there += 1
            print(json.dumps({"count": count} | measured(target, folder / "disk")), flush=True)
        for number in range(there):
            bare_remove(number)
        print(json.dumps(many(target, folder, max(counts))), flush=True)


def measured(target: LioTarget, disk: Path) -> dict[str, float]:
    """Medians in milliseconds; the two ways take turns, so that a busy host slows both."""
    times: dict[str, list[float]] = {"bare": [], "export": [], "bare_remove": [], "remove": [], "again": []}
    export = exported("measured", disk)
    for number in range(ROUNDS):
        times["bare"].append(milliseconds(partial(bare_export, 10**6 + number, disk)))
        times["bare_remove"].append(milliseconds(partial(bare_remove, 10**6 + number)))
        times["export"].append(milliseconds(lambda: target.apply(export)))
        times["again"].append(milliseconds(lambda: target.apply(export)))
        times["remove"].append(milliseconds(lambda: target.remove(export.volume_id)))
    return {name: statistics.median(found) for name, found in times.items()}


def many(target: LioTarget, folder: Path, count: int) -> dict[str, float]:
    """All exports of a node made after a reboot, and read when nothing is to be done (milliseconds)."""
    exports = []
    for number in range(count):
        disk = folder / f"disk-{number}"
        disk.write_bytes(b"")
        os.truncate(disk, SIZE)
        exports.append(exported(f"volume-{number}", disk))
    made = milliseconds(lambda: [target.apply(export) for export in exports])
    read = milliseconds(target.exports)
    for export in exports:
        target.remove(export.volume_id)
    return {"many": count, "made": made, "read": read}


def made_target(folder: Path) -> LioTarget:
    options = SimpleNamespace(
        target_ip_address="127.0.0.1",
        target_port=3260,
        target_prefix=PREFIX,
        iscsi_secondary_ip_addresses=[],
        use_chap_auth=True,
        iscsi_write_cache=False,
        lio_helper_socket=str(folder / "lio.sock"),
    )
    return LioTarget(Setup("bench", "bench", Owner("bench", "bench"), options, folder))


def exported(volume_id: str, disk: Path) -> Export:
    return Export(volume_id, str(disk), SIZE, (Access("attachment", INITIATOR, False, "user", SECRET),))


def bare_export(number: int, disk: Path | None) -> None:
    """The same target written down: backstore, LUN, initiator with its secret, portal; no question asked."""
    kind, control = "fileio", f"fd_dev_name={disk},fd_dev_size={SIZE}"
    if disk is None:
        kind, control = "rd_mcp", "rd_pages=64"
    elif disk.is_block_device():
        kind, control = "iblock", f"udev_path={disk}"
    store = CORE / f"{kind}_{number}" / f"bare-{number}"
    store.mkdir(parents=True)
    put(store / "control", control)
    put(store / "udev_path", f"{disk}")
    put(store / "enable", "1")
    put(store / "wwn/vpd_unit_serial", f"00000000-0000-4000-8000-{number:012d}")
    if disk is not None:
        put(store / "attrib/emulate_tpu", "1")
        put(store / "attrib/emulate_tpws", "1")
    group = ISCSI / f"{PREFIX}bare-{number}" / "tpgt_1"
    group.mkdir(parents=True)
    put(group / "attrib/authentication", "1")
    put(group / "attrib/generate_node_acls", "0")
    put(group / "attrib/prod_mode_write_protect", "1")
    (group / "lun/lun_1").mkdir()
    (group / "lun/lun_1/store").symlink_to(store)
    acl = group / "acls" / INITIATOR
    acl.mkdir()
    (acl / "auth/password").chmod(0o600)
    put(acl / "auth/userid", "user")
    put(acl / "auth/password", SECRET)
    (acl / "lun_1").mkdir()
    (acl / "lun_1/lun").symlink_to(group / "lun/lun_1")
    put(acl / "lun_1/write_protect", "0")
    (group / "np" / PORTAL).mkdir()
    put(group / "enable", "1")


def bare_remove(number: int) -> None:
    group = ISCSI / f"{PREFIX}bare-{number}" / "tpgt_1"
    acl = group / "acls" / INITIATOR
    put(group / "enable", "0")
    (acl / "lun_1/lun").unlink()
    (acl / "lun_1").rmdir()
    acl.rmdir()
    (group / "lun/lun_1/store").unlink()
    for folder in (group / "lun/lun_1", group / "np" / PORTAL, group, group.parent):
        folder.rmdir()
    (store,) = CORE.glob(f"*_{number}/bare-{number}")
    store.rmdir()
    store.parent.rmdir()


def put(attribute: Path, value: str) -> None:
    with attribute.open("w") as stream:
        stream.write(value)


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()

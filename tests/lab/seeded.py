"""Leftovers and contradictions put into a running daemon's state from outside, one of each kind."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import rows
from tests.lab.daemon import Daemon, Session

CONNECTOR = {"initiator": "iqn.1993-08.org.debian:01:doctor", "ip": "127.0.0.1", "host": "client", "multipath": False}

HOUR = 3600 * 1_000_000


@dataclass
class Seeds:
    """What is wrong in the state of ``daemon``; ``kinds`` are the findings that must be made of it."""

    daemon: Daemon
    rest: Session
    kinds: set[str] = field(default_factory=set)
    #: Paths of the resources that are no good after the repair and are to be deleted.
    lost: list[str] = field(default_factory=list)

    def sow(self) -> None:
        """One of each kind that is not mended by the daemon itself at once."""
        for seed in _SEEDS:
            seed(self)

    # --- what the seeds need --------------------------------------------------------------------------------------

    @property
    def pool(self) -> Path:
        return self.daemon.state / "pool"

    def volume(self) -> str:
        volume_id = str(self.rest.create_volume(1)["id"])
        self.rest.wait_for_status(f"/volumes/{volume_id}", "available")
        return volume_id

    def snapshot(self, volume_id: str) -> str:
        made = self.rest.post("/snapshots", json={"snapshot": {"volume_id": volume_id}})
        snapshot_id = str(made.json()["snapshot"]["id"])
        self.rest.wait_for_status(f"/snapshots/{snapshot_id}", "available")
        return snapshot_id

    def attachment(self, volume_id: str) -> dict[str, Any]:
        body = {"attachment": {"volume_uuid": volume_id, "connector": CONNECTOR}}
        made = self.rest.post("/attachments", json=body)
        assert made.status_code == 200, made.text
        attachment = dict(made.json()["attachment"])
        done = self.rest.post(f"/attachments/{attachment['id']}/action", json={"os-complete": {}})
        assert done.status_code == 204, done.text
        return attachment

    def sql(self, statement: str, *values: Any) -> None:
        assert rows.execute(self.daemon.state, statement, *values), f"nothing was changed by {statement}"

    def tgtadm(self, mode: str, op: str, *arguments: str) -> str:
        socket = next(path for path in self.daemon.state.rglob("*.0") if path.is_socket())
        done = subprocess.run(
            ["tgtadm", "--lld", "iscsi", "--mode", mode, "--op", op, *arguments],
            env={**os.environ, "TGT_IPC_SOCKET": str(socket.with_suffix(""))},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tid_of(self, volume_id: str) -> str:
        lines = self.tgtadm("target", "show").splitlines()
        line = next(line for line in lines if line.startswith("Target ") and line.endswith(volume_id))
        return line.split(":")[0].removeprefix("Target ")

    def operation(self, kind: str, state: str, **columns: Any) -> str:
        """An operation's row, a copy of another one."""
        operation_id = str(uuid.uuid4())
        changed = {"id": operation_id, "kind": kind, "state": state, "live_key": None} | columns
        model = rows.select(self.daemon.state, "SELECT * FROM operations LIMIT 1")[0] | changed
        values = [json.dumps(value) if isinstance(value, dict | list) else value for value in model.values()]
        names, places = ", ".join(model), ", ".join("?" * len(model))
        rows.execute(self.daemon.state, f"INSERT INTO operations ({names}) VALUES ({places})", *values)
        return operation_id

    def host(self) -> str:
        found = self.rest.get("/os-services?binary=volumed-volume").json()["services"]
        return str(found[0]["host"])


def _now() -> int:
    return time.time_ns() // 1000


def _orphans(seeds: Seeds) -> None:
    seeds.kinds.add("data.orphan")
    (seeds.pool / f"volume-{uuid.uuid4()}").write_bytes(b"nobody's")
    (seeds.pool / f"snapshot-{uuid.uuid4()}").write_bytes(b"nobody's")
    (seeds.pool / f".volume-{seeds.volume()}.part").write_bytes(b"half of what is there in full")


def _missing_data(seeds: Seeds) -> None:
    seeds.kinds.add("data.missing")
    gone, short, origin = seeds.volume(), seeds.volume(), seeds.volume()
    snapshot = seeds.snapshot(origin)
    (seeds.pool / f"volume-{gone}").unlink()
    os.truncate(seeds.pool / f"volume-{short}", 4096)
    (seeds.pool / f"snapshot-{snapshot}").unlink()
    seeds.lost += [f"/volumes/{gone}", f"/volumes/{short}", f"/snapshots/{snapshot}"]


def _unwanted_export(seeds: Seeds) -> None:
    seeds.kinds.add("export.unwanted")
    prefix = _iqn(seeds, seeds.volume()).rpartition("volume-")[0]
    seeds.tgtadm("target", "new", "--tid", "77", "-T", f"{prefix}volume-{uuid.uuid4()}")


def _iqn(seeds: Seeds, volume_id: str) -> str:
    return str(seeds.attachment(volume_id)["connection_info"]["target_iqn"])


def _missing_export(seeds: Seeds) -> None:
    seeds.kinds.add("export.missing")
    volume_id = seeds.volume()
    seeds.attachment(volume_id)
    seeds.tgtadm("target", "delete", "--force", "--tid", seeds.tid_of(volume_id))


def _different_export(seeds: Seeds) -> None:
    seeds.kinds.add("export.different")
    volume_id = seeds.volume()
    seeds.attachment(volume_id)
    seeds.tgtadm("target", "bind", "--tid", seeds.tid_of(volume_id), "-Q", "iqn.1993-08.org.debian:01:stranger")


def _unbound_account(seeds: Seeds) -> None:
    seeds.kinds.add("account.unbound")
    seeds.tgtadm("account", "new", "--user", "stray", "--password", "0123456789ab")


def _left_lock(seeds: Seeds) -> None:
    seeds.kinds.add("lock.left")
    path = seeds.daemon.state / "locks" / f"{uuid.uuid4()}.lock"
    path.touch()
    os.utime(path, (time.time() - 60, time.time() - 60))


def _drifts(seeds: Seeds) -> None:
    seeds.kinds |= {"quota.drift", "allocation.drift"}
    seeds.sql("UPDATE quotas SET in_use = in_use + 7 WHERE resource = 'gigabytes'")
    seeds.sql("UPDATE quotas SET in_use = in_use - 2 WHERE resource = 'volumes'")
    seeds.sql("UPDATE pools SET allocated = allocated - 3, volumes = volumes + 1")


def _stranded(seeds: Seeds) -> None:
    seeds.kinds.add("transit.stranded")
    snapshot = seeds.snapshot(seeds.volume())
    volume_id = seeds.volume()
    attachment = seeds.attachment(volume_id)["id"]
    before = _now() - HOUR
    seeds.sql("UPDATE snapshots SET status = 'deleting', updated_at = ? WHERE id = ?", before, snapshot)
    seeds.sql("UPDATE attachments SET attach_status = 'detaching', updated_at = ? WHERE id = ?", before, attachment)
    seeds.sql("UPDATE volumes SET status = 'detaching' WHERE id = ?", volume_id)
    seeds.lost += [f"/attachments/{attachment}"]


def _operations(seeds: Seeds) -> None:
    seeds.kinds |= {"operation.keeps_key", "operation.without_resource"}
    key = str(uuid.uuid4())
    seeds.operation("volume.delete", "succeeded", live_key=key, resource_id=key, volume_id=key)
    gone = str(uuid.uuid4())
    columns = {"live_key": gone, "resource_type": "volume", "resource_id": gone, "volume_id": gone, "ended_at": None}
    # In the queue of a service that is not there: whose it is ends it at its next look.
    seeds.operation("volume.extend", "waiting", queue="gone@nowhere", updated_at=_now() - HOUR, **columns)


def _contradiction(seeds: Seeds) -> None:
    seeds.kinds.add("attachment.contradiction")
    seeds.sql("UPDATE volumes SET status = 'in-use' WHERE id = ?", seeds.volume())


def _failed_cleanup(seeds: Seeds) -> None:
    seeds.kinds.add("cleanup.failed")
    left = str(uuid.uuid4())
    (seeds.pool / f"volume-{left}").write_bytes(b"left behind")
    storage = rows.select(seeds.daemon.state, "SELECT storage_id FROM pools")[0]["storage_id"]
    seeds.sql("UPDATE pools SET allocated = allocated + 2, volumes = volumes + 1")
    args = json.dumps({"host": f"{seeds.host()}#pool", "storage_id": storage, "size": 2, "of_operation": left})
    columns = {"resource_type": "leftover", "resource_id": str(uuid.uuid4()), "volume_id": left, "args": args}
    seeds.operation("cleanup", "failed", queue=seeds.host(), **columns)


_SEEDS: tuple[Callable[[Seeds], None], ...] = (
    _orphans,
    _missing_data,
    _unwanted_export,
    _missing_export,
    _different_export,
    _unbound_account,
    _stranded,
    _operations,
    _contradiction,
    _failed_cleanup,
    _left_lock,
    _drifts,
)

"""What a stopped or idle daemon left, seen from outside: rows against files, targets, locks, quota and allocation.

Reads the rows, the folders and tgtd's own listing; asks volumed nothing.
"""

import os
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab import rows, sealed
from tests.lab.daemon import Daemon
from volumed.model.states import WHOLE_VOLUME

LIVE = "('queued', 'running', 'waiting', 'undoing')"

#: How files are called that tests put into a pool, and those that were given away there.
FOREIGN = ("foreign-", "unmanaged-")


class Outside:
    """The state folder of ``daemon``; ``pools`` are the folders of its file backends where there are several.

    ``exported``: volumes are exported from their creation on, to nobody.
    """

    def __init__(self, daemon: Daemon, pools: Mapping[str, Path] | None = None, exported: bool = False) -> None:
        self._exported = exported
        self.state = daemon.state
        self.pool = daemon.state / "pool"
        self.pools = dict(pools or {"file": self.pool})

    def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """What the query finds."""
        return rows.select(self.state, query, *arguments)

    def files(self) -> set[str]:
        """Names in the pool folders, without the pools' own marks and what is no volumed's."""
        return {path.name for path in self._paths()}

    def _paths(self) -> set[Path]:
        folders = [folder for folder in self.pools.values() if folder.exists()]
        found = {path for folder in folders for path in folder.iterdir() if path.name != ".volumed-owner"}
        return {path for path in found if not path.name.startswith(FOREIGN) and not _is_note(path)}

    def data_of(self, volume_id: str) -> Path:
        return self.pool / f"volume-{volume_id}"

    def targets(self) -> set[str]:
        """Ids of the volumes that our tgtds export."""
        said = self._tgtadm("--mode", "target", "--op", "show")
        return {line.rpartition("volume-")[2] for line in said.splitlines() if line.startswith("Target ")}

    def accounts(self) -> set[str]:
        """Names of the CHAP accounts that our tgtds know."""
        said = self._tgtadm("--mode", "account", "--op", "show")
        names = (line.strip() for line in said.splitlines())
        return {name for name in names if name and name != "Account list:"}

    def _tgtadm(self, *arguments: str) -> str:
        """What each backend's tgtd says. tgtadm appends the control port to the socket's name: ``NAME.0``."""
        said = ""
        for socket in (path for path in self.state.rglob("*.0") if path.is_socket()):
            command = ["tgtadm", "--lld", "iscsi", *arguments]
            environment = {**os.environ, "TGT_IPC_SOCKET": str(socket.with_suffix(""))}
            said += subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20).stdout
        return said

    def differences(self) -> list[str]:
        """Everything that is not as the rows say, in sentences; empty when all is well."""
        return [
            *self.live_operations(),
            *self._files(),
            *self._exports(),
            *self._locks(),
            *self._quota(),
            *self._allocation(),
        ]

    def live_operations(self) -> list[str]:
        live = self.rows(f"SELECT id, kind, state, wait_reason FROM operations WHERE state IN {LIVE}")
        transit = self.rows(
            "SELECT id, status FROM volumes WHERE status IN"
            " ('creating', 'deleting', 'extending', 'reverting', 'detaching', 'managing', 'unmanaging')"
        )
        return [f"operation {row} is live" for row in live] + [f"volume {row} is in transit" for row in transit]

    def _files(self) -> list[str]:
        """Of what is half deleted (``error_deleting``) the file may be there or be gone already."""
        volumes = {row["id"]: row for row in self.rows("SELECT id, size, host FROM volumes WHERE host IS NOT NULL")}
        claimed = {self._place(row["host"]) / f"volume-{row['id']}": row for row in self._whole_volumes()}
        whole = (
            "SELECT id, size, volume_id, status FROM snapshots"
            " WHERE status NOT IN ('creating', 'error', 'error_managing')"
        )
        for row in self.rows(whole):
            claimed[self._place(volumes[row["volume_id"]]["host"]) / f"snapshot-{row['id']}"] = row
        wanted = {path for path, row in claimed.items() if row["status"] != "error_deleting"}
        found = self._paths()
        told = [f"file {path} has no row" for path in sorted(found - claimed.keys())]
        told += [f"file {path} is missing" for path in sorted(wanted - found)]
        for path in sorted(found & claimed.keys()):
            size = path.stat().st_size
            if size != claimed[path]["size"] << 30:
                told.append(f"file {path} has {size} bytes, its row says {claimed[path]['size']} GiB")
        return told

    def _place(self, host: str) -> Path:
        """The folder of ``node@backend#pool``."""
        return self.pools[host.partition("@")[2].partition("#")[0]]

    def _whole_volumes(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM volumes WHERE status NOT IN ('creating') AND host IS NOT NULL")

    def _exports(self) -> list[str]:
        reachable = self.rows(
            "SELECT id, volume_id FROM attachments WHERE credentials IS NOT NULL"
            " AND attach_status IN ('attaching', 'attached', 'error_detaching')"
        )
        wanted = {row["volume_id"] for row in reachable}
        secrets = sealed.credentials(self.state)
        names = {secrets[row["id"]]["username"] for row in reachable if row["id"] in secrets}
        if self._exported:
            wanted |= {row["id"] for row in self._whole_volumes() if row["status"] in WHOLE_VOLUME}
        found, accounts = self.targets(), self.accounts()
        told = [f"target of volume {volume} is wanted by nobody" for volume in sorted(found - wanted)]
        told += [f"target of volume {volume} is missing" for volume in sorted(wanted - found)]
        told += ["a CHAP account is wanted by nobody" for _ in accounts - names]
        return told + ["a CHAP account is missing" for _ in names - accounts]

    def _locks(self) -> list[str]:
        left = [path.name for path in (self.state / "locks").glob("*") if not path.name.startswith("service-")]
        return [f"lock file {name} is left" for name in left]

    def _quota(self) -> list[str]:
        types = {row["id"]: row["name"] for row in self.rows("SELECT id, name FROM volume_types")}
        counted: Counter[tuple[str, str]] = Counter()
        for kind, table in (("volumes", "volumes"), ("snapshots", "snapshots")):
            for row in self.rows(f"SELECT project_id, size, volume_type_id FROM {table}"):
                for suffix in ("", f"_{types[row['volume_type_id']]}"):
                    counted[row["project_id"], f"{kind}{suffix}"] += 1
                    counted[row["project_id"], f"gigabytes{suffix}"] += row["size"]
        used = {(row["project_id"], row["resource"]): row["in_use"] for row in self.rows("SELECT * FROM quotas")}
        return [
            f"quota {key}: {used.get(key, 0)} in use, {counted.get(key, 0)} counted"
            for key in sorted(used.keys() | counted.keys())
            if used.get(key, 0) != counted.get(key, 0)
        ]

    def _allocation(self) -> list[str]:
        counted = {
            row["storage_id"]: (row["size"], row["volumes"])
            for row in self.rows(
                "SELECT storage_id, sum(size) AS size, count(*) AS volumes FROM volumes"
                " WHERE storage_id IS NOT NULL GROUP BY storage_id"
            )
        }
        return [
            f"storage {row['storage_id']}: {row['allocated']} GiB allocated, {counted.get(row['storage_id'])} counted"
            for row in self.rows("SELECT * FROM pools")
            if (row["allocated"], row["volumes"]) != counted.get(row["storage_id"], (0, 0))
        ]


def _is_note(path: Path) -> bool:
    """Whether it keeps the old name of a volume or snapshot that was taken over, and that is there."""
    return path.name.endswith(".managed") and path.with_name(path.name[1 : -len(".managed")]).exists()

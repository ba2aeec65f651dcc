"""What a cluster of the tests reads: its configuration and its keys, and those of a client.

Knows Ceph's files; knows nothing of processes.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Two lines make a map change take 10 ms instead of a second (``paxos_*``); three keep figures of capacity fresh. A
#: clean stop must unmount the store, or memstore never saves itself (``osd_fast_shutdown``). A client that was killed
#: is taken for gone after 6 seconds instead of 30 (``osd_client_watch_timeout``), so clients must say more often that
#: they live (``objecter_tick_interval``).
_CLUSTER: Final = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{port}/0]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
public_network_interface = lo
ms_bind_msgr1 = false
ms_bind_ipv6 = false
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
keyring = {folder}/keyring
run_dir = {folder}/run
log_file =
log_to_stderr = false
err_to_stderr = true
admin_socket =
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_warn_on_pool_no_redundancy = false
paxos_propose_interval = 0.01
paxos_min_wait = 0.01
mgr_tick_period = 1
mgr_stats_period = 1
mon_mgr_digest_period = 1
mgr_pool = false

[mon]
mon_data = {folder}/mon
mon_data_avail_warn = 1
mon_data_avail_crit = 1

[mgr]
mgr_data = {folder}/mgr
mgr_module_path = {folder}/none

[osd]
osd_data = {data}/osd
osd_objectstore = {store}
osd_class_update_on_start = false
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
osd_memory_target = 939524096
osd_fast_shutdown = false
osd_client_watch_timeout = 6
memstore_device_bytes = {size}
bluestore_block_size = {size}
bluestore_block_wal_create = false
bluestore_block_db_create = false
bluestore_fsck_on_mount = false
"""

_CLIENT: Final = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{port}/0]
auth_client_required = cephx
keyring = {keyring}
admin_socket =
log_file =
log_to_stderr = false
err_to_stderr = false
objecter_tick_interval = 1
"""

#: Who is known to a new cluster, with their capabilities: nobody has to be added while it runs.
_KEYS: Final = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *", "mgr": "allow profile osd"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *"},
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a cluster is: ``folder`` is the monitor's and the clients', ``data`` the OSD's alone."""

    folder: Path
    data: Path
    fsid: str
    port: int

    @property
    def administrator(self) -> Path:
        """The configuration of whoever may do everything, and of the daemons."""
        return self.folder / "ceph.conf"

    @property
    def keyring(self) -> Path:
        return self.folder / "keyring"

    def write(self, store: str, size: int) -> None:
        """Make the folders, the configuration and the keys. ``store``: memstore or bluestore, of ``size`` bytes."""
        for folder in (self.folder / name for name in ("mon", "mgr", "run", "none")):
            folder.mkdir(parents=True)
        (self.data / "osd").mkdir(parents=True)
        values = {"fsid": self.fsid, "port": self.port, "folder": self.folder, "data": self.data}
        self.administrator.write_text(_CLUSTER.format(**values, store=store, size=size))
        for name, capabilities in _KEYS.items():
            self._add_key(name, capabilities)
        if store == "bluestore":
            with (self.data / "osd" / "block").open("wb") as block:
                block.truncate(size)

    def write_client(self, user: str, key: str) -> Path:
        """The configuration of a client that knows its own key only; returns its place."""
        keyring = self.folder / f"ceph.client.{user}.keyring"
        _write_secret(keyring, f"[client.{user}]\n\tkey = {key}\n")
        configuration = self.folder / f"{user}.conf"
        configuration.write_text(_CLIENT.format(fsid=self.fsid, port=self.port, keyring=keyring))
        return configuration

    def _add_key(self, name: str, capabilities: dict[str, str]) -> None:
        if not self.keyring.exists():
            _write_secret(self.keyring, "")
        granted = [word for service, allowed in capabilities.items() for word in ("--cap", service, allowed)]
        subprocess.run(
            ["ceph-authtool", str(self.keyring), "--gen-key", "-n", name, *granted],
            check=True,
            capture_output=True,
        )


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    os.chmod(path, 0o600)
    path.write_text(text)

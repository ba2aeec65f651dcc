"""The client's commands against a real ``volumed up``: what a user types, and what is then true."""

import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import initiator
from tests.lab.daemon import Daemon


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs ``volumed`` as a user does: a process, with the address and the token in the environment."""

    def __init__(self, daemon: Daemon, token: str = "admin:admin") -> None:
        self._environment = {**os.environ, "VOLUMED_URL": daemon.url, "VOLUMED_TOKEN": token}

    def __call__(self, *words: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "volumed.cmd.volumed", *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def good(self, *words: str) -> Any:
        """The document of a command that must succeed."""
        ended = self(*words, "--json")
        assert ended.status == 0, ended.err
        return ended.document


@pytest.fixture
def shell(shared_daemon: Daemon) -> Shell:
    return Shell(shared_daemon)


def test_a_volume_lives_and_dies_by_its_name(shell: Shell) -> None:
    created = shell.good("create", "1", "--name", "life", "--metadata", "tier=gold", "--wait")
    assert created["volume"]["status"] == "available"
    assert created["operation"]["state"] == "succeeded"
    volume_id = created["volume"]["id"]
    assert volume_id in shell("list").out
    assert "tier=gold" in shell("show", "life").out
    assert shell.good("extend", "life", "2", "--wait")["volume"]["size"] == 2
    assert shell.good("delete", "life", "--wait")["volume"] is None
    assert shell.good("list")["volumes"] == []
    told = shell("timeline", volume_id)
    assert told.status == 0
    for kind in ("volume.create succeeded", "volume.extend succeeded", "volume.delete succeeded"):
        assert kind in told.out
    assert "provision" in told.out


def test_what_others_made_is_managed_and_given_away(shell: Shell, shared_daemon: Daemon) -> None:
    host = next(each["host"] for each in shell.good("services")["services"] if each["binary"] == "volumed-volume")
    disk = shared_daemon.state / "pool" / "foreign-disk"
    disk.write_bytes(b"data")
    assert "foreign-disk" in shell("manageable", host).out
    made = shell.good("manage", host, "foreign-disk", "--name", "old", "--metadata", "a=b", "--bootable", "--wait")
    assert (made["volume"]["status"], made["volume"]["metadata"]) == ("available", {"a": "b"})
    listed = shell.good("manageable", host, "--limit", "1")["manageable-volumes"]
    assert [each["cinder_id"] for each in listed] == [made["volume"]["id"]]
    (disk.parent / "foreign-copy").write_bytes(b"older")
    reference = '{"source-name": "foreign-copy"}'
    shell.good("manage", reference, "--snapshot-of", "old", "--name", "older", "--wait")
    assert shell("unmanage", "old").status == 1
    for words in (("unmanage", "older", "--snapshot"), ("unmanage", "old")):
        assert shell.good(*words, "--wait")["operation"]["state"] == "succeeded"
    assert shell("manage", "foreign-disk").status == 2
    for name, data in (("foreign-disk", b"data"), ("foreign-copy", b"older")):
        assert (disk.parent / name).read_bytes() == data
        (disk.parent / name).unlink()


def test_snapshots_and_copies(shell: Shell) -> None:
    shell.good("create", "1", "--name", "source", "--wait")
    snapshot = shell.good("snapshot", "create", "source", "--name", "before", "--wait")["snapshot"]
    assert snapshot["status"] == "available"
    assert "before" in shell("snapshot", "list", "--volume", "source").out
    assert "before" in shell("snapshot", "show", snapshot["id"]).out
    assert shell.good("revert", "before", "--wait")["volume"]["status"] == "available"
    restored = shell.good("create", "--snapshot", "before", "--name", "restored", "--wait")["volume"]
    assert (restored["snapshot_id"], restored["size"]) == (snapshot["id"], 1)
    cloned = shell.good("create", "2", "--source", "source", "--name", "cloned", "--wait")["volume"]
    assert (cloned["source_volid"], cloned["size"]) == (restored["source_volid"] or cloned["source_volid"], 2)
    assert shell.good("snapshot", "delete", "before", "--wait")["snapshot"] is None
    for name in ("source", "restored", "cloned"):
        shell.good("delete", name, "--wait")


@pytest.mark.part("tgtd")
@pytest.mark.part("qemu-io")
def test_what_attach_prints_is_enough_to_log_in(shell: Shell, tmp_path: Path) -> None:
    shell.good("create", "1", "--name", "data", "--wait")
    secret = tmp_path / "chap"
    ended = shell(
        "attach", "data", "--initiator", "iqn.2010-10.org.openstack:here", "--json", "--secret-file", str(secret)
    )
    assert ended.status == 0, ended.err
    attachment = ended.document["attachment"]
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text() not in ended.out + ended.err
    told = attachment["connection_info"]
    connection = initiator.Connection(
        portal=told["target_portal"],
        target=told["target_iqn"],
        lun=told["target_lun"],
        username=told["auth_username"],
        password=secret.read_text(),
        initiator="iqn.2010-10.org.openstack:here",
    )
    initiator.write_pattern(connection, 0x5A, 0, 1 << 20)
    initiator.read_pattern(connection, 0x5A, 0, 1 << 20)
    assert shell.good("show", "data")["volume"]["status"] == "in-use"
    assert [each["id"] for each in shell.good("detach", "data")["detached"]] == [attachment["id"]]
    assert shell.good("show", "data")["volume"]["status"] == "available"
    with pytest.raises(initiator.InitiatorError):
        initiator.size(connection)
    shell.good("delete", "data", "--wait")


def test_explain_names_the_pool_and_a_volume_too_large_says_what_was_missing(shell: Shell) -> None:
    placed = shell.good("create", "1", "--name", "small", "--wait")["volume"]
    explained = shell("explain", "small")
    assert explained.status == 0
    assert f"placed on {placed['os-vol-host-attr:host']}" in explained.out
    shell.good("delete", "small", "--wait")
    refused = shell("create", "1", "--type", "nothing-has-this", "--wait")
    assert refused.status == 1
    assert "nothing-has-this" in refused.err


def test_the_fleet_is_shown(shell: Shell) -> None:
    services = shell.good("services")["services"]
    assert {row["binary"] for row in services} >= {"volumed-scheduler", "volumed-volume"}
    assert "up" in shell("services").out
    pools = shell.good("pools")["pools"]
    assert len(pools) == 1
    assert pools[0]["name"] in shell("pools").out


def test_operations_are_listed_by_state_and_resource_and_shown(shell: Shell) -> None:
    created = shell.good("create", "1", "--wait")
    volume_id, operation_id = created["volume"]["id"], created["operation"]["id"]
    listed = shell.good("operations", "list", "--state", "succeeded", "--resource", volume_id)["operations"]
    assert [each["id"] for each in listed] == [operation_id]
    assert "volume.create succeeded" in shell("operations", "show", operation_id).out
    shell.good("delete", volume_id, "--wait")
    assert shell.good("operations", "list", "--state", "failed", "--resource", volume_id)["operations"] == []


def test_an_ordinary_user_sees_his_own_and_not_the_fleet(shared_daemon: Daemon, shell: Shell) -> None:
    other = Shell(shared_daemon, "eve:elsewhere")
    mine = shell.good("create", "1", "--wait")["volume"]["id"]
    assert other.good("list")["volumes"] == []
    for words in (("show", mine), ("delete", mine), ("timeline", mine), ("explain", mine), ("services",)):
        refused = other(*words)
        assert refused.status == 1, words
        assert "HTTP 40" in refused.err
    shell.good("delete", mine, "--wait")


@pytest.mark.embedded_only("it waits for the end of the one process")
def test_a_wait_survives_the_daemons_crash(daemon: Daemon) -> None:
    shell = Shell(daemon)
    # Dies when the volume's file is made; the waiting command sees the connection break.
    daemon.stop()
    daemon.start({"VOLUMED_CRASH_POINT": "volume.create.provision.after"})
    waiting = subprocess.Popen(
        [sys.executable, "-m", "volumed.cmd.volumed", "create", "1", "--wait", "--json", "--url", daemon.url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert daemon.wait_for_end() == -9
        time.sleep(0.5)
        daemon.start()
        out, err = waiting.communicate(timeout=60)
    finally:
        waiting.kill()
        waiting.wait()
    assert waiting.returncode == 0, err
    created = json.loads(out)
    assert created["volume"]["status"] == "available"
    shell.good("delete", created["volume"]["id"], "--wait")

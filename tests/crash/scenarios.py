"""What is asked while the daemon dies, and what must be true after the next start: one scenario an operation.

A request that the client got no answer for is sent again with the same Idempotency-Key, as a client should. Scenarios
in which the backend fails are in ``failing``.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.lab.daemon import Daemon, Session
from tests.lab.faulty_driver import Faults
from tests.lab.outside import Outside
from tests.lab.seeded import Seeds

#: What is written into a source, and where: the start, the middle and the last bytes of the first GiB.
MARKS = ((0, b"begin"), (512 << 20, b"middle"), ((1 << 30) - 3, b"end"))

#: Seconds after which what must come is overdue, on however loaded a machine.
PATIENCE = 60.0

CONNECTOR = {"initiator": "iqn.1993-08.org.debian:01:crash", "ip": "127.0.0.1", "host": "client", "multipath": False}


@dataclass
class Stage:
    """One daemon, seen through REST and from outside; ``made`` is what the scenario keeps for itself."""

    daemon: Daemon
    made: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rest: Session = self.daemon.session()
        self.outside = Outside(self.daemon)

    @property
    def faults(self) -> Faults:
        """Orders what goes wrong, where the daemon has the faulty driver."""
        return Faults(self.daemon.state, "file")

    def is_well(self) -> None:
        """Wait until everything is as the rows say, seen from outside, and the doctor finds nothing.

        What an answer does not wait for (a lock's file, a reconciliation) ends within moments; what is left stays.
        """
        deadline = time.monotonic() + PATIENCE
        while found := [*self.outside.differences(), *self.findings()]:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def findings(self) -> list[str]:
        """What the doctor finds, and where it could not look."""
        answer = self.rest.get("/doctor")
        assert answer.status_code == 200, answer.text
        told = answer.json()["doctor"]
        blind = [] if told["looked_at"] else [f"no backend was looked at: {told['not_looked_at']}"]
        return [each["evidence"] for each in told["findings"]] + blind

    def volume(self, size: int = 1, marked: bool = False, **source: str) -> str:
        """A finished volume, with marks in its data where asked."""
        volume_id = str(self.rest.create_volume(size, **source)["id"])
        self.rest.wait_for_status(f"/volumes/{volume_id}", "available")
        if marked:
            with self.outside.data_of(volume_id).open("r+b") as data:
                for offset, mark in MARKS:
                    data.seek(offset)
                    data.write(mark)
        return volume_id

    def snapshot(self, volume_id: str) -> str:
        answer = self.rest.post("/snapshots", json={"snapshot": {"volume_id": volume_id}})
        assert answer.status_code == 202, answer.text
        snapshot_id = str(answer.json()["snapshot"]["id"])
        self.rest.wait_for_status(f"/snapshots/{snapshot_id}", "available")
        return snapshot_id

    def has_marks(self, volume_id: str) -> bool:
        with self.outside.data_of(volume_id).open("rb") as data:
            return all(_read(data, offset, len(mark)) == mark for offset, mark in MARKS)

    def remove(self, *paths: str) -> None:
        """Delete what the scenario made, in this order, and wait until it is gone."""
        for path in paths:
            answer = self.rest.delete(path)
            assert answer.status_code in (200, 202, 404), answer.text
            self.rest.wait_until_gone(path)


@dataclass(frozen=True)
class Scenario:
    """``prepare`` undisturbed, ``ask`` while the daemon dies, ``check`` after the restart, ``clean`` up.

    ``faulty``: the backend's driver fails on order; ``driver``: it is this one. ``only``: in brief it is killed only at
    the points that begin so, the others being those of another scenario.
    """

    name: str
    prepare: Callable[[Stage], None]
    ask: Callable[[Stage], requests.Response]
    check: Callable[[Stage, requests.Response], None]
    clean: Callable[[Stage], None]
    faulty: bool = False
    driver: str | None = None
    only: tuple[str, ...] = ("",)


def _read(data: Any, offset: int, length: int) -> bytes:
    data.seek(offset)
    return bytes(data.read(length))


def key(stage: Stage) -> dict[str, str]:
    return {"Idempotency-Key": stage.made.setdefault("key", str(uuid.uuid4()))}


def operations_of(stage: Stage, **query: Any) -> list[dict[str, Any]]:
    """The operations that the query finds, the newest first."""
    return list(stage.rest.get("/operations", params=query | {"all_tenants": 1}).json()["operations"])


def create(body: Callable[[Stage], dict[str, Any]]) -> Callable[[Stage], requests.Response]:
    return lambda stage: stage.rest.post("/volumes", json={"volume": body(stage)}, headers=key(stage))


def check_volume(size: int, marked: bool = False) -> Callable[[Stage, requests.Response], None]:
    def check(stage: Stage, answer: requests.Response) -> None:
        stage.made["new"] = answer.json()["volume"]["id"]
        volume = stage.rest.wait_for_status(f"/volumes/{stage.made['new']}", "available")
        assert volume["size"] == size
        assert not marked or stage.has_marks(stage.made["new"])

    return check


def remember(name: str, make: Callable[[Stage], str]) -> Callable[[Stage], None]:
    def prepare(stage: Stage) -> None:
        stage.made[name] = make(stage)

    return prepare


def remove_volumes(*names: str) -> Callable[[Stage], None]:
    return lambda stage: stage.remove(*(f"/volumes/{stage.made[name]}" for name in names))


CREATE = Scenario(
    "create",
    prepare=lambda stage: None,
    ask=create(lambda stage: {"size": 1}),
    check=check_volume(1),
    clean=remove_volumes("new"),
)

CLONE = Scenario(
    "clone",
    prepare=remember("source", lambda stage: stage.volume(marked=True)),
    ask=create(lambda stage: {"source_volid": stage.made["source"], "size": 2}),
    check=check_volume(2, marked=True),
    clean=remove_volumes("new", "source"),
)


def prepare_snapshot(stage: Stage) -> None:
    stage.made["source"] = stage.volume(marked=True)
    stage.made["snapshot"] = stage.snapshot(stage.made["source"])


def clean_snapshot(stage: Stage) -> None:
    paths = [f"/volumes/{stage.made['new']}"] if "new" in stage.made else []
    stage.remove(*paths, f"/snapshots/{stage.made['snapshot']}", f"/volumes/{stage.made['source']}")


FROM_SNAPSHOT = Scenario(
    "create from snapshot",
    prepare=prepare_snapshot,
    ask=create(lambda stage: {"snapshot_id": stage.made["snapshot"]}),
    check=check_volume(1, marked=True),
    clean=clean_snapshot,
)


def _prepare_revert(stage: Stage) -> None:
    prepare_snapshot(stage)
    with stage.outside.data_of(stage.made["source"]).open("r+b") as data:
        for offset, mark in MARKS:
            data.seek(offset)
            data.write(bytes(len(mark)))


def _check_reverted(stage: Stage, answer: requests.Response) -> None:
    stage.rest.wait_for_status(f"/volumes/{stage.made['source']}", "available")
    stage.rest.wait_for_status(f"/snapshots/{stage.made['snapshot']}", "available")
    assert stage.has_marks(stage.made["source"])


REVERT = Scenario(
    "revert",
    prepare=_prepare_revert,
    ask=lambda stage: stage.rest.post(
        f"/volumes/{stage.made['source']}/action",
        json={"revert": {"snapshot_id": stage.made["snapshot"]}},
        headers=key(stage),
    ),
    check=_check_reverted,
    clean=clean_snapshot,
)

DELETE = Scenario(
    "delete",
    prepare=remember("volume", lambda stage: stage.volume()),
    ask=lambda stage: stage.rest.delete(f"/volumes/{stage.made['volume']}"),
    check=lambda stage, answer: stage.rest.wait_until_gone(f"/volumes/{stage.made['volume']}"),
    clean=lambda stage: None,
)


DELETE_CASCADE = Scenario(
    "delete with its snapshots",
    prepare=prepare_snapshot,
    ask=lambda stage: stage.rest.delete(f"/volumes/{stage.made['source']}?cascade=true"),
    check=lambda stage, answer: stage.rest.wait_until_gone(f"/volumes/{stage.made['source']}"),
    clean=lambda stage: None,
)


def _check_extended(stage: Stage, answer: requests.Response) -> None:
    volume = stage.rest.wait_for_status(f"/volumes/{stage.made['volume']}", "available")
    assert volume["size"] == 3
    assert stage.has_marks(stage.made["volume"])


EXTEND = Scenario(
    "extend",
    prepare=remember("volume", lambda stage: stage.volume(marked=True)),
    ask=lambda stage: stage.rest.post(
        f"/volumes/{stage.made['volume']}/action", json={"os-extend": {"new_size": 3}}, headers=key(stage)
    ),
    check=_check_extended,
    clean=remove_volumes("volume"),
)


def _check_snapshot(stage: Stage, answer: requests.Response) -> None:
    stage.made["snapshot"] = answer.json()["snapshot"]["id"]
    stage.rest.wait_for_status(f"/snapshots/{stage.made['snapshot']}", "available")


SNAPSHOT = Scenario(
    "snapshot",
    prepare=remember("source", lambda stage: stage.volume(marked=True)),
    ask=lambda stage: stage.rest.post(
        "/snapshots", json={"snapshot": {"volume_id": stage.made["source"]}}, headers=key(stage)
    ),
    check=_check_snapshot,
    clean=clean_snapshot,
)

DELETE_SNAPSHOT = Scenario(
    "delete snapshot",
    prepare=prepare_snapshot,
    ask=lambda stage: stage.rest.delete(f"/snapshots/{stage.made['snapshot']}"),
    check=lambda stage, answer: stage.rest.wait_until_gone(f"/snapshots/{stage.made['snapshot']}"),
    clean=remove_volumes("source"),
)


def _check_attached(stage: Stage, answer: requests.Response) -> None:
    attachment = answer.json()["attachment"]
    stage.made["attachment"] = attachment["id"]
    if not attachment["connection_info"]:  # accepted before the kill, answered by what it is now
        joined = stage.rest.put(f"/attachments/{attachment['id']}", json={"attachment": {"connector": CONNECTOR}})
        assert joined.status_code == 200, joined.text
        attachment = joined.json()["attachment"]
    assert attachment["connection_info"]["auth_password"]
    assert stage.outside.targets() == {stage.made["volume"]}


def attach(stage: Stage) -> requests.Response:
    body = {"volume_uuid": stage.made["volume"], "instance_uuid": str(uuid.UUID(int=7)), "connector": CONNECTOR}
    return stage.rest.post("/attachments", json={"attachment": body}, headers=key(stage))


def clean_attachment(stage: Stage) -> None:
    stage.remove(f"/attachments/{stage.made['attachment']}", f"/volumes/{stage.made['volume']}")


ATTACH = Scenario(
    "attach",
    prepare=remember("volume", lambda stage: stage.volume()),
    ask=attach,
    check=_check_attached,
    clean=clean_attachment,
)


def prepare_attachment(stage: Stage) -> None:
    stage.made["volume"] = stage.volume()
    _prepare_access(stage)


def _prepare_access(stage: Stage) -> None:
    stage.made["attachment"] = stage.rest.attach(stage.made["volume"], CONNECTOR["initiator"])["id"]


def _check_detached(stage: Stage, answer: requests.Response) -> None:
    stage.rest.wait_until_gone(f"/attachments/{stage.made['attachment']}")
    stage.rest.wait_for_status(f"/volumes/{stage.made['volume']}", "available")
    assert stage.outside.targets() == set()


DETACH = Scenario(
    "detach",
    prepare=prepare_attachment,
    ask=lambda stage: stage.rest.delete(f"/attachments/{stage.made['attachment']}"),
    check=_check_detached,
    clean=remove_volumes("volume"),
)


#: Bytes of a file that somebody put into the pool: not whole GiB, so that it grows and is cut again.
FOREIGN_LENGTH = (1 << 30) + 5


def _put_disk(stage: Stage) -> None:
    with (stage.daemon.state / "pool" / "foreign-disk").open("wb") as disk:
        disk.truncate(FOREIGN_LENGTH)
        disk.seek(FOREIGN_LENGTH - 3)
        disk.write(b"end")


def _take_disk_away(stage: Stage) -> None:
    """It is what it was, beside the pool's other files."""
    disk = stage.daemon.state / "pool" / "foreign-disk"
    with disk.open("rb") as data:
        assert _read(data, FOREIGN_LENGTH - 3, 9) == b"end"
    disk.unlink()


def _holds_the_disk(path: Path) -> bool:
    with path.open("rb") as data:
        return _read(data, FOREIGN_LENGTH - 3, 9) == b"end\0\0\0\0\0\0"


def manage(stage: Stage) -> requests.Response:
    host = stage.outside.rows("SELECT host FROM services WHERE host LIKE '%@file'")[0]["host"]
    body = {"host": host, "ref": {"source-name": "foreign-disk"}}
    return stage.rest.post("/manageable_volumes", json={"volume": body}, headers=key(stage))


def _check_managed(stage: Stage, answer: requests.Response) -> None:
    stage.made["volume"] = answer.json()["volume"]["id"]
    stage.rest.wait_for_status(f"/volumes/{stage.made['volume']}", "available")
    assert _holds_the_disk(stage.outside.data_of(stage.made["volume"]))


MANAGE = Scenario("manage", _put_disk, manage, _check_managed, remove_volumes("volume"))


def prepare_managed(stage: Stage) -> None:
    _put_disk(stage)
    _check_managed(stage, manage(stage))


UNMANAGE = Scenario(
    "unmanage",
    prepare=prepare_managed,
    ask=lambda stage: stage.rest.post(f"/volumes/{stage.made['volume']}/action", json={"os-unmanage": None}),
    check=lambda stage, answer: stage.rest.wait_until_gone(f"/volumes/{stage.made['volume']}"),
    clean=_take_disk_away,
)


def _prepare_disk_and_volume(stage: Stage) -> None:
    stage.made["source"] = stage.volume(2)
    _put_disk(stage)


def _manage_snapshot(stage: Stage) -> requests.Response:
    body = {"volume_id": stage.made["source"], "ref": "foreign-disk"}
    return stage.rest.post("/manageable_snapshots", json={"snapshot": body}, headers=key(stage))


MANAGE_SNAPSHOT = Scenario(
    "manage snapshot", _prepare_disk_and_volume, _manage_snapshot, _check_snapshot, clean_snapshot
)


def _prepare_managed_snapshot(stage: Stage) -> None:
    _prepare_disk_and_volume(stage)
    _check_snapshot(stage, _manage_snapshot(stage))


def _clean_unmanaged_snapshot(stage: Stage) -> None:
    _take_disk_away(stage)
    stage.remove(f"/volumes/{stage.made['source']}")


UNMANAGE_SNAPSHOT = Scenario(
    "unmanage snapshot",
    prepare=_prepare_managed_snapshot,
    ask=lambda stage: stage.rest.post(f"/snapshots/{stage.made['snapshot']}/action", json={"os-unmanage": None}),
    check=lambda stage, answer: stage.rest.wait_until_gone(f"/snapshots/{stage.made['snapshot']}"),
    clean=_clean_unmanaged_snapshot,
)


def _prepare_findings(stage: Stage) -> None:
    """An orphan, an export that nobody wants, an account of no target, and quotas that drifted."""
    stage.made["volume"] = stage.volume()
    seeds = Seeds(stage.daemon, stage.rest)
    (seeds.pool / f"volume-{uuid.uuid4()}").write_bytes(b"nobody's")
    _prepare_access(stage)
    seeds.tgtadm("target", "new", "--tid", "77", "-T", f"iqn.2010-10.org.openstack:volume-{uuid.uuid4()}")
    seeds.tgtadm("account", "new", "--user", "stray", "--password", "0123456789ab")
    seeds.sql("UPDATE quotas SET in_use = in_use + 7 WHERE resource = 'gigabytes'")
    assert len(stage.findings()) == 4, stage.findings()


def _repair(stage: Stage) -> requests.Response:
    answer = stage.rest.post("/doctor", json={"repair": {"all": True}}, headers=key(stage))
    deadline = time.monotonic() + PATIENCE
    while any(each["state"] not in ("succeeded", "failed") for each in _repairs(stage)):
        assert time.monotonic() < deadline, _repairs(stage)
        time.sleep(0.02)
    return answer


def _repairs(stage: Stage) -> list[dict[str, Any]]:
    return operations_of(stage, kind="doctor.repair")


def _check_repaired(stage: Stage, answer: requests.Response) -> None:
    assert answer.status_code in (200, 202), answer.text
    assert all(each["state"] == "succeeded" for each in _repairs(stage)), _repairs(stage)
    assert stage.outside.targets() == {stage.made["volume"]}


REPAIR = Scenario("doctor.repair", _prepare_findings, _repair, _check_repaired, clean_attachment)

ALL = (
    CREATE,
    CLONE,
    FROM_SNAPSHOT,
    DELETE,
    DELETE_CASCADE,
    EXTEND,
    REVERT,
    SNAPSHOT,
    DELETE_SNAPSHOT,
    ATTACH,
    DETACH,
    REPAIR,
    MANAGE,
    UNMANAGE,
    MANAGE_SNAPSHOT,
    UNMANAGE_SNAPSHOT,
)

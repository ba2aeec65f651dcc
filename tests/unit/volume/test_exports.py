"""Exports follow the rows: only what differs is touched, under its lock, and what fails is said."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lab.faulty_driver import Faults, FaultyDriver
from volumed.db import attachments, volumes
from volumed.db.engine import Database
from volumed.driver.errors import BackendUnreachable
from volumed.driver.interface import Access, Owner, VolumeRef
from volumed.driver.registry import Setup
from volumed.model.states import AttachStatus, VolumeStatus
from volumed.operations.locks import Claims, NodeLocks
from volumed.volume import exports
from volumed.volume.backend import Backend
from volumed.volume.export_keeper import ExportKeeper
from volumed.volume.exports import lock_of, reconcile, settle

HOST = "node@file"


@dataclass
class Watched:
    """A driver whose changes of exports are noted; what it does is real."""

    driver: Any
    touched: list[str] = field(default_factory=list)

    def ensure_export(self, volume: VolumeRef, accesses: list[Access], force: bool = False) -> None:
        self.touched.append(f"ensure {volume.id}")
        self.driver.ensure_export(volume, accesses, force)

    def remove_export(self, volume: VolumeRef, force: bool = False) -> None:
        self.touched.append(f"remove {volume.id}")
        self.driver.remove_export(volume, force)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.driver, name)


class Node:
    """One backend with its rows, locks and exports."""

    def __init__(self, database: Database, folder: Path, add_volume: Callable[..., str], on_create: bool) -> None:
        options = SimpleNamespace(
            file_pool_path=None,
            target_helper="fake",
            target_prefix="iqn.test:",
            reserved_percentage=0,
            max_over_subscription_ratio=20.0,
        )
        self.faults = Faults(folder, "file")
        self.driver = Watched(FaultyDriver(Setup("file", "node", Owner("d", "file"), options, folder)))
        self.driver.do_setup()
        self.locks = NodeLocks(folder / "locks")
        self.database = database
        self.backend = Backend(HOST, self.driver, database, on_create)
        self._add_volume = add_volume

    def volume(self, status: str = "in-use", host: str = f"{HOST}#pool") -> str:
        volume_id = self._add_volume(status, host=host, storage_id="s")
        self.driver.create(VolumeRef(volume_id, 1, "pool"))
        return volume_id

    def attachment(self, volume_id: str, status: str = "attached") -> str:
        attachment_id = str(uuid.uuid4())
        self.database.write(
            attachments.add,
            id=attachment_id,
            project_id="p",
            user_id="u",
            volume_id=volume_id,
            attach_status=status,
            attach_mode="rw",
            connector={"initiator": "iqn.test:client"},
            credentials={"username": f"user-{attachment_id[:8]}", "password": "secret-of-16-byte"},
        )
        return attachment_id

    def reconcile(self) -> tuple[bool, list[str]]:
        self.driver.touched.clear()
        return reconcile(self.backend, self.locks), self.driver.touched


@pytest.fixture
def node(database: Database, tmp_path: Path, add_volume: Callable[..., str]) -> Node:
    return Node(database, tmp_path, add_volume, on_create=False)


def test_what_is_missing_is_made_and_what_is_right_is_not_touched(node: Node) -> None:
    first, second = node.volume(), node.volume()
    for volume in (first, second):
        node.attachment(volume)
    settled, touched = node.reconcile()
    assert (settled, sorted(touched)) == (True, sorted([f"ensure {first}", f"ensure {second}"]))
    assert node.reconcile() == (True, [])
    node.driver.driver.remove_export(VolumeRef(second, 1, "pool"))
    assert node.reconcile() == (True, [f"ensure {second}"])


def test_what_nobody_wants_is_removed(node: Node) -> None:
    volume = node.volume("available")
    stranger = VolumeRef(str(uuid.uuid4()), 1, "pool")
    for ref in (VolumeRef(volume, 1, "pool"), stranger):
        node.driver.create(ref)
        node.driver.ensure_export(ref, [Access("a", None, False, "user", "secret-of-16-byte")])
    settled, touched = node.reconcile()
    assert settled
    assert sorted(touched) == sorted([f"remove {volume}", f"remove {stranger.id}"])
    assert node.driver.exports() == {}


@pytest.mark.parametrize(
    ("status", "let_in"),
    [
        ("attaching", True),
        ("attached", True),
        ("error_detaching", True),
        ("detaching", False),
        ("reserved", False),
        ("error_attaching", False),
    ],
)
def test_an_attachments_status_says_whether_it_lets_in(node: Node, status: str, let_in: bool) -> None:
    volume = node.volume()
    node.attachment(volume, status)
    node.reconcile()
    assert set(node.driver.exports()) == ({volume} if let_in else set())


@pytest.mark.parametrize("force", [True, False])
def test_a_detach_is_about_its_own_attachment_alone(node: Node, force: bool) -> None:
    """Another one that is leaving may be logged in: its own detach waits for that, or cuts it."""
    volume_id = node.volume()
    going, leaving = node.attachment(volume_id), node.attachment(volume_id)
    node.reconcile()
    for attachment_id in (going, leaving):
        node.database.write(attachments.move, attachment_id, AttachStatus.ATTACHED, AttachStatus.DETACHING)
    with node.database.reading() as tx:
        volume = volumes.get(tx, volume_id)
    settle(node.backend, volume, without=going, force=force)
    assert node.driver.exports()[volume_id].usernames == {f"user-{leaving[:8]}"}
    settle(node.backend, volume, without=leaving, force=force)
    assert node.driver.exports()[volume_id].usernames == {f"user-{going[:8]}"}
    node.database.write(attachments.remove, going)
    settle(node.backend, volume, without=leaving, force=force)
    assert node.driver.exports() == {}


def test_one_access_more_or_less_is_a_difference(node: Node) -> None:
    volume = node.volume()
    first = node.attachment(volume)
    node.reconcile()
    second = node.attachment(volume)
    assert node.reconcile() == (True, [f"ensure {volume}"])
    assert node.driver.exports()[volume].usernames == {f"user-{each[:8]}" for each in (first, second)}
    node.database.write(attachments.remove, first)
    assert node.reconcile() == (True, [f"ensure {volume}"])


def test_what_somebody_works_on_is_left_to_him_and_looked_at_again(node: Node) -> None:
    volume = node.volume()
    node.attachment(volume)
    with node.locks.holding(Claims(exclusive=[lock_of(volume)]), patience=0):
        assert node.reconcile() == (False, [])
    assert node.reconcile() == (True, [f"ensure {volume}"])


def test_one_that_fails_stops_no_other_and_is_told(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    found = [node.volume(), node.volume()]
    for volume in found:
        node.attachment(volume)
    node.faults.order("ensure_export", "BackendUnreachable")
    settled, touched = node.reconcile()
    assert (settled, len(touched), len(node.driver.exports())) == (False, 2, 1)
    assert "cannot be restored" in caplog.text
    assert node.reconcile()[0]
    assert set(node.driver.exports()) == set(found)


def test_a_driver_that_prepares_is_told_of_many_at_once_those_in_use_first(
    database: Database, tmp_path: Path, add_volume: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "TOLD_AT_ONCE", 2)
    node = Node(database, tmp_path, add_volume, on_create=True)
    idle, used = node.volume("available"), [node.volume() for _ in range(2)]
    unwanted = VolumeRef("0", 1, "pool")
    node.driver.create(unwanted)
    node.driver.ensure_export(unwanted, [])
    for volume in used:
        node.attachment(volume)
    told = []

    def prepare(volume_ids: list[str]) -> None:
        told.append(sorted(volume_ids))
        assert not set(volume_ids) & set(node.driver.exports())
        raise BackendUnreachable(backend="file", reason="it is only told, and its exports say what is wrong")

    node.driver.prepare_exports = prepare
    assert node.reconcile()[0]
    assert told == [sorted(used), [idle]]
    assert set(node.driver.exports()) == {idle, *used}


def test_another_backends_attachments_are_not_ours(node: Node) -> None:
    node.attachment(node.volume(host="node@file2#pool"))
    assert node.reconcile() == (True, [])


def test_where_volumes_are_exported_from_their_creation_on_whole_ones_are(
    database: Database, tmp_path: Path, add_volume: Callable[..., str]
) -> None:
    node = Node(database, tmp_path, add_volume, on_create=True)
    whole = [node.volume("available"), node.volume("error_extending")]
    for status in ("creating", "deleting", "error"):
        node.volume(status)
    assert node.reconcile()[0]
    assert set(node.driver.exports()) == set(whole)
    assert all(export.usernames == frozenset() for export in node.driver.exports().values())
    database.write(volumes.remove, whole[0])
    assert node.reconcile() == (True, [f"remove {whole[0]}"])


def test_what_grows_and_nobody_is_let_in_to_is_settled_by_its_growth(
    database: Database, tmp_path: Path, add_volume: Callable[..., str]
) -> None:
    """Its export may be in the way for hours, in which nothing is to be compared again and again."""
    node = Node(database, tmp_path, add_volume, on_create=True)
    volume, used = node.volume("extending"), node.volume("extending")
    node.attachment(used)
    assert node.reconcile() == (True, [f"ensure {used}"])
    assert node.reconcile() == (True, [])
    database.write(volumes.move, volume, VolumeStatus.EXTENDING, VolumeStatus.AVAILABLE)
    assert node.reconcile() == (True, [f"ensure {volume}"])


# --- the keeper -------------------------------------------------------------------------------------------------------


def test_an_access_that_ends_while_its_export_is_restored_is_taken_away_by_the_next_look(node: Node) -> None:
    volume = node.volume()
    attachment = node.attachment(volume, "attaching")
    keeper = ExportKeeper(node.backend, node.locks)

    def ends_meanwhile(ref: VolumeRef, accesses: list[Access], force: bool) -> None:
        node.database.write(attachments.remove, attachment)
        keeper.unsettle()
        node.driver.driver.ensure_export(ref, accesses)

    node.driver.ensure_export = ends_meanwhile
    keeper.look()
    assert set(node.driver.exports()) == {volume}
    keeper.look()
    assert node.driver.exports() == {}
    node.driver.touched.clear()
    keeper.look()
    assert node.driver.touched == []


def test_exports_are_compared_soon_after_they_were_unsettled_and_until_they_are_settled(node: Node) -> None:
    volume = node.volume()
    attachment = node.attachment(volume)
    keeper = ExportKeeper(node.backend, node.locks)
    keeper.start()
    try:
        until(lambda: set(node.driver.exports()) == {volume})
        with node.locks.holding(Claims(exclusive=[lock_of(volume)]), patience=0):
            node.database.write(attachments.remove, attachment)
            keeper.unsettle()
        until(lambda: node.driver.exports() == {})
    finally:
        keeper.stop()


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""What differs between a backend and its rows, and what does not although it looks so."""

import os
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from volumed.driver.errors import BackendBusy
from volumed.driver.interface import Access, VolumeRef
from volumed.operations.locks import Claims

if TYPE_CHECKING:
    from tests.unit.doctor.conftest import Ward

STRANGER = Access("nobody", "iqn.2024-01.org.example:stranger", False, "stranger", "0123456789ab")


def ref(volume_id: str) -> VolumeRef:
    return VolumeRef(volume_id, 1, "pool")


def test_what_is_in_order_is_no_finding(ward: "Ward") -> None:
    volume_id = ward.volume()
    ward.snapshot(volume_id)
    assert ward.found() == []


@pytest.mark.parametrize("name", ["volume-{}", "snapshot-{}", ".volume-{}.part", ".snapshot-{}.part"])
def test_data_of_nobody_is_found_and_removed(ward: "Ward", name: str) -> None:
    path = ward.pool / name.format(uuid.uuid4())
    path.touch()
    (finding,) = ward.found()
    assert (finding.kind, finding.subject) == ("data.orphan", str(path))
    assert ward.repair(finding).state == "succeeded"
    assert (path.exists(), ward.found()) == (False, [])


def test_what_another_service_has_on_the_same_storage_is_not_left_behind(ward: "Ward") -> None:
    storage = ward.driver.capabilities().pools[0].storage_id
    theirs = {"host": "other-node@disk#pool"}
    beside, elsewhere = ward.volume(**theirs, storage_id=storage), ward.volume(**theirs, storage_id="another")
    ward.snapshot(beside)
    assert [finding.subject for finding in ward.backend.look()] == [str(ward.pool / f"volume-{elsewhere}")]


@pytest.mark.parametrize("name", [b"volume-" + b"x" * 240, b"volume-\xff\xfe"])
def test_a_name_that_nobody_here_would_give_is_told_and_removed(ward: "Ward", name: bytes) -> None:
    path = os.fsencode(ward.pool) + b"/" + name
    os.close(os.open(path, os.O_CREAT, 0o600))
    (finding,) = ward.found()
    assert finding.volume_id is None, "it would not fit into a row"
    finding.evidence.encode()
    assert ward.repair(finding).state == "succeeded"
    assert not os.path.exists(path)


def test_a_half_made_copy_goes_and_the_volume_beside_it_stays(ward: "Ward") -> None:
    volume_id = ward.volume()
    (ward.pool / f".volume-{volume_id}.part").touch()
    ward.repair_all()
    assert {path.name for path in ward.pool.glob("*volume-*")} == {f"volume-{volume_id}"}
    assert ward.driver.has_volume(ref(volume_id))


@pytest.mark.parametrize("touching", ["resource", "volume", "source"])
def test_what_a_live_operation_touches_is_left_out(ward: "Ward", touching: str) -> None:
    left = str(uuid.uuid4())
    (ward.pool / f"volume-{left}").touch()
    other = str(uuid.uuid4())
    resource = ward.volume("creating", made=False)
    source = {"source_id": left} if touching == "source" else {}
    ids = {"resource": (left, other), "volume": (resource, left), "source": (resource, resource)}[touching]
    ward.operation("volume.create", *ids, **source)
    assert "data.orphan" not in ward.kinds()


def test_what_is_locked_is_in_work_and_no_finding(ward: "Ward") -> None:
    left = str(uuid.uuid4())
    (ward.pool / f"volume-{left}").touch()
    with ward.locks.holding(Claims(exclusive=[left]), patience=0):
        assert ward.found() == []
    assert ward.kinds() == ["data.orphan"]


def test_a_delete_that_ends_between_the_backend_and_the_rows_is_no_finding(
    ward: "Ward", monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_id = ward.volume()
    audit = ward.driver.audit

    def overtaken() -> object:
        found = audit()
        ward.driver.delete(ref(volume_id))
        ward.forget(volume_id)
        return found

    monkeypatch.setattr(ward.driver, "audit", overtaken)
    assert ward.found() == []


def test_a_detach_that_ends_between_the_target_and_the_rows_is_no_finding(
    ward: "Ward", monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_id = ward.volume()
    ward.driver.ensure_export(ref(volume_id), [STRANGER])
    exports = ward.driver.exports

    def overtaken() -> object:
        found = exports()
        ward.driver.remove_export(ref(volume_id))
        return found

    monkeypatch.setattr(ward.driver, "exports", overtaken)
    assert ward.found() == []


def test_a_repair_of_a_status_writes_its_event(ward: "Ward") -> None:
    volume_id = ward.volume(made=False)
    (finding,) = ward.found()
    operation = ward.repair(finding)
    query = "SELECT event_type FROM events WHERE resource_id = :volume AND operation_id = :operation"
    assert ward.value(query, volume=volume_id, operation=operation.id) == "volume.repair.end"


def test_a_repair_that_the_backend_refuses_is_tried_again_and_then_fails_with_the_reason(
    ward: "Ward", monkeypatch: pytest.MonkeyPatch
) -> None:
    (ward.pool / "volume-left").touch()
    (finding,) = ward.found()

    def refuse(left: object) -> None:
        raise BackendBusy(what="volume left", backend="disk", reason="somebody is logged in")

    monkeypatch.setattr(ward.driver, "remove_leftover", refuse)
    operation = ward.repair(finding)
    assert (operation.state, operation.wait_reason) == ("waiting", "volume left on disk is busy: somebody is logged in")
    time.sleep(0.1)
    assert ward.run(operation.id).state == "failed"
    assert ward.kinds() == ["data.orphan"]


def test_a_repair_looks_again_and_leaves_alone_what_is_in_order_by_then(ward: "Ward") -> None:
    volume_id = ward.volume(host=None)
    (finding,) = ward.found()
    ward.sql("UPDATE volumes SET host = 'node@disk#pool'")
    assert ward.repair(finding).state == "succeeded"
    assert ward.driver.has_volume(ref(volume_id))


def test_the_data_of_a_volume_that_is_on_another_backend_is_nobodys(ward: "Ward") -> None:
    ward.volume(host="node@other#pool")
    assert ward.kinds() == ["data.orphan"]


def test_a_volume_whose_data_is_gone_or_too_small_becomes_error_with_the_reason(ward: "Ward") -> None:
    gone, short = ward.volume("in-use", made=False), ward.volume()
    ward.attachment(gone)
    os.truncate(ward.pool / f"volume-{short}", 4096)
    assert ward.kinds() == ["data.missing", "data.missing"], "and no export is missed of what has no data"
    ward.repair_all()
    for volume_id in (gone, short):
        assert ward.value("SELECT status FROM volumes WHERE id = :id", id=volume_id) == "error"
        assert "missing" in str(ward.value("SELECT error FROM volumes WHERE id = :id", id=volume_id))
    assert "data.missing" not in ward.kinds()


def test_a_snapshot_whose_data_is_gone_becomes_error(ward: "Ward") -> None:
    snapshot_id = ward.snapshot(ward.volume())
    (ward.pool / f"snapshot-{snapshot_id}").unlink()
    assert ward.kinds() == ["data.missing"]
    ward.repair_all()
    assert ward.value("SELECT status FROM snapshots") == "error"
    assert ward.found() == []


@pytest.mark.parametrize("status", ["error", "error_deleting"])
def test_a_volume_that_claims_no_data_need_not_have_it(ward: "Ward", status: str) -> None:
    ward.volume(status, made=False)
    assert ward.found() == []


def test_an_export_that_nobody_wants_is_removed(ward: "Ward") -> None:
    volume_id, unknown = ward.volume(), str(uuid.uuid4())
    ward.driver.ensure_export(ref(volume_id), [STRANGER])
    ward.driver.create(ref(unknown))
    ward.driver.ensure_export(ref(unknown), [])
    (ward.pool / f"volume-{unknown}").unlink()
    assert ward.kinds() == ["export.unwanted", "export.unwanted"]
    ward.repair_all()
    assert (ward.driver.exports(), ward.found()) == ({}, [])


def test_a_missing_export_is_made_for_its_attachment(ward: "Ward") -> None:
    volume_id = ward.volume("in-use")
    attachment = ward.attachment(volume_id)
    (finding,) = ward.found()
    assert (finding.kind, finding.volume_id) == ("export.missing", volume_id)
    assert attachment in finding.evidence
    ward.repair_all()
    assert ward.driver.exports()[volume_id].usernames == {f"user-{attachment[:8]}"}
    assert ward.found() == []


def test_an_export_that_lets_in_another_is_corrected_and_tells_no_secret(ward: "Ward") -> None:
    volume_id = ward.volume("in-use")
    ward.attachment(volume_id)
    ward.driver.ensure_export(ref(volume_id), [STRANGER])
    (finding,) = ward.found()
    assert finding.kind == "export.different"
    assert "0123456789ab" not in repr(finding)
    ward.repair_all()
    assert ward.found() == []


def test_a_lock_that_nobody_holds_is_removed_and_a_held_or_young_one_is_none(ward: "Ward") -> None:
    old = time.time() - 60
    left = ward.state / "locks" / "left.lock"
    left.touch()
    os.utime(left, (old, old))
    (ward.state / "locks" / "young.lock").touch()
    (ward.state / "locks" / "service-node@disk.lock").touch()
    os.utime(ward.state / "locks" / "service-node@disk.lock", (old, old))
    with ward.locks.holding(Claims(exclusive=["held"]), patience=0):
        os.utime(ward.state / "locks" / "held.lock", (old, old))
        (finding,) = ward.found()
        assert (finding.kind, finding.subject) == ("lock.left", str(left))
        ward.repair_all()
        assert (ward.state / "locks" / "held.lock").exists()
    assert not left.exists()
    assert (ward.state / "locks" / "service-node@disk.lock").exists()


def test_a_cleanup_that_was_given_up_is_made_good_with_its_allocation(ward: "Ward") -> None:
    left = str(uuid.uuid4())
    ward.driver.create(ref(left))
    ward.sql("UPDATE pools SET allocated = 1, volumes = 1")
    args = {"host": "node@disk#pool", "storage_id": "storage", "size": 1}
    cleanup = ward.operation("cleanup", str(uuid.uuid4()), left, resource_type="leftover", args=args)
    assert ward.found() == [], "it is still under way"
    ward.sql("UPDATE operations SET state = 'failed', live_key = NULL WHERE id = :id", id=cleanup)
    assert ward.kinds() == ["cleanup.failed"], "one finding, not the data and the allocation as well"
    ward.repair_all()
    assert (ward.driver.has_volume(ref(left)), ward.value("SELECT allocated FROM pools")) == (False, 0)
    assert ward.found() == []


def test_a_cleanup_that_was_given_up_spares_what_another_service_made_on_the_same_storage(ward: "Ward") -> None:
    volume_id = ward.volume(host="other-node@disk#pool")
    args = {"host": "node@disk#pool", "storage_id": "storage", "size": 1}
    cleanup = ward.operation("cleanup", str(uuid.uuid4()), volume_id, resource_type="leftover", args=args)
    ward.sql("UPDATE operations SET state = 'failed', live_key = NULL WHERE id = :id", id=cleanup)
    ward.sql("UPDATE pools SET allocated = 2, volumes = 2")
    (finding,) = [each for each in ward.found() if each.kind == "cleanup.failed"]
    assert ward.repair(finding).state == "succeeded"
    assert (ward.driver.has_volume(ref(volume_id)), ward.value("SELECT allocated FROM pools")) == (True, 1)


def test_the_same_difference_has_the_same_id(ward: "Ward") -> None:
    (ward.pool / f"volume-{uuid.uuid4()}").touch()
    assert [finding.id for finding in ward.found()] == [finding.id for finding in ward.found()]


def test_many_leftovers_are_found_with_few_locks_at_a_time(ward: "Ward") -> None:
    for number in range(450):
        (ward.pool / f"volume-{number}").touch()
    assert len(ward.found()) == 450
    assert list((ward.state / "locks").iterdir()) == []

"""Rows that contradict each other, and those that only seem to."""

import uuid
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.doctor.conftest import Ward

LONG_AGO = 1_000_000


@pytest.mark.parametrize("drift", [5, -5])
def test_a_quota_that_drifted_is_counted_again(ward: "Ward", drift: int) -> None:
    ward.snapshot(ward.volume())
    ward.sql("UPDATE quotas SET in_use = in_use + :drift WHERE resource = 'gigabytes_plain'", drift=drift)
    (finding,) = ward.found()
    assert (finding.kind, finding.subject) == ("quota.drift", "p/gigabytes_plain")
    assert f"use {2 + drift} gigabytes_plain" in finding.evidence
    ward.repair_all()
    assert ward.value("SELECT in_use FROM quotas WHERE resource = 'gigabytes_plain'") == 2


def test_a_quota_without_its_row_gets_it_back(ward: "Ward") -> None:
    ward.volume()
    ward.sql("DELETE FROM quotas WHERE resource = 'volumes'")
    assert ward.kinds() == ["quota.drift"]
    ward.repair_all()
    assert ward.found() == []


def test_a_growing_volume_is_counted_with_what_it_was_promised(ward: "Ward") -> None:
    volume_id = ward.volume("extending")
    ward.operation("volume.extend", volume_id, args={"new_size": 5, "old_size": 1})
    ward.sql("UPDATE quotas SET in_use = 5 WHERE resource IN ('gigabytes', 'gigabytes_plain')")
    assert ward.found() == []


def test_a_volume_that_nobody_has_adopted_yet_is_not_missed_in_the_quota(ward: "Ward") -> None:
    ward.volume("creating", made=False, host=None, storage_id=None)
    ward.sql("UPDATE quotas SET in_use = 0")
    ward.sql("UPDATE pools SET allocated = 0, volumes = 0")
    assert ward.found() == []


def test_an_allocation_that_drifted_is_counted_again(ward: "Ward") -> None:
    ward.volume()
    ward.sql("UPDATE pools SET allocated = 9, volumes = 0")
    assert ward.kinds() == ["allocation.drift"]
    ward.repair_all()
    assert (ward.value("SELECT allocated FROM pools"), ward.value("SELECT volumes FROM pools")) == (1, 1)


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ("creating", "error"),
        ("deleting", "error_deleting"),
        ("extending", "available"),
        ("managing", "error_unmanaging"),
        ("unmanaging", "error_unmanaging"),
    ],
)
def test_a_volume_in_transit_without_an_operation_gets_an_end(ward: "Ward", status: str, end: str) -> None:
    volume_id = ward.volume(status)
    assert "transit.stranded" not in ward.kinds(), "the sweep may still adopt it"
    ward.sql("UPDATE volumes SET updated_at = :ago", ago=LONG_AGO)
    assert ward.kinds() == ["transit.stranded"]
    ward.repair_all()
    assert ward.value("SELECT status FROM volumes WHERE id = :id", id=volume_id) == end
    assert ward.found() == []


def test_an_attached_volume_whose_extend_is_lost_is_in_use(ward: "Ward") -> None:
    volume_id = ward.volume("extending")
    ward.attachment(volume_id)
    ward.sql("UPDATE volumes SET updated_at = :ago", ago=LONG_AGO)
    (repair,) = [each.repair for each in ward.found() if each.kind == "transit.stranded"]
    assert "set it to in-use" in repair
    ward.repair_all()
    assert ward.value("SELECT status FROM volumes") == "in-use"


@pytest.mark.parametrize(("status", "end"), [("creating", "error"), ("deleting", "error_deleting")])
def test_a_snapshot_in_transit_without_an_operation_gets_an_end(ward: "Ward", status: str, end: str) -> None:
    ward.snapshot(ward.volume(), status)
    ward.sql("UPDATE snapshots SET updated_at = :ago", ago=LONG_AGO)
    assert ward.kinds() == ["transit.stranded"]
    ward.repair_all()
    assert ward.value("SELECT status FROM snapshots") == end


def test_a_snapshot_that_goes_with_its_volume_is_carried_by_the_volumes_operation(ward: "Ward") -> None:
    volume_id = ward.volume("deleting")
    ward.snapshot(volume_id, "deleting")
    ward.sql("UPDATE snapshots SET updated_at = :ago", ago=LONG_AGO)
    ward.operation("volume.delete", volume_id)
    assert ward.found() == []


def test_a_detach_without_an_operation_ends_in_its_error_and_the_volume_follows(ward: "Ward") -> None:
    volume_id = ward.volume("detaching")
    ward.attachment(volume_id, "detaching")
    ward.sql("UPDATE attachments SET updated_at = :ago", ago=LONG_AGO)
    assert ward.kinds() == ["transit.stranded"]
    ward.repair_all()
    assert ward.value("SELECT attach_status FROM attachments") == "error_detaching"
    assert ward.value("SELECT status FROM volumes") == "in-use"


def test_an_ended_operation_that_keeps_its_resource_lets_it_go(ward: "Ward") -> None:
    volume_id = ward.volume()
    operation = ward.operation("volume.extend", volume_id, args={"new_size": 1})
    ward.sql("UPDATE operations SET state = 'failed' WHERE id = :id", id=operation)
    assert ward.kinds() == ["operation.keeps_key"]
    ward.repair_all()
    assert ward.value("SELECT live_key FROM operations WHERE id = :id", id=operation) is None
    assert ward.found() == []


def test_a_live_operation_without_its_resource_is_ended(ward: "Ward") -> None:
    operation = ward.operation("volume.delete", str(uuid.uuid4()))
    assert ward.found() == [], "whoever has it sees that by itself"
    ward.sql("UPDATE operations SET updated_at = :ago", ago=LONG_AGO)
    assert ward.kinds() == ["operation.without_resource"]
    ward.repair_all()
    assert ward.value("SELECT state FROM operations WHERE id = :id", id=operation) == "failed"
    assert "is gone" in str(ward.value("SELECT error FROM operations WHERE id = :id", id=operation))


@pytest.mark.parametrize(
    ("status", "attached", "end"),
    [
        ("in-use", None, "available"),
        ("reserved", None, "available"),
        ("available", "reserved", "reserved"),
        ("reserved", "attached", "in-use"),
    ],
)
def test_a_status_that_the_attachments_contradict_follows_them(
    ward: "Ward", status: str, attached: str | None, end: str
) -> None:
    volume_id = ward.volume(status)
    if attached is not None:
        ward.attachment(volume_id, attached)
    assert "attachment.contradiction" in ward.kinds()
    ward.repair_all()
    assert ward.value("SELECT status FROM volumes") == end
    assert ward.found() == []


@pytest.mark.parametrize("status", ["attaching", "detaching"])
def test_a_volume_that_a_client_has_reserved_contradicts_nothing(ward: "Ward", status: str) -> None:
    ward.volume(status)
    assert ward.found() == []


def test_events_that_nobody_publishes_are_told_and_have_no_repair(ward: "Ward") -> None:
    ward.sql(
        "INSERT INTO events (resource_type, resource_id, sequence, project_id, event_type, payload, created_at,"
        " published) VALUES ('volume', 'v', 1, 'p', 'volume.create.end', '{}', :ago, false)",
        ago=LONG_AGO,
    )
    (finding,) = ward.found()
    assert (finding.kind, finding.repair) == ("outbox.stuck", None)


def test_keys_that_were_not_forgotten_are(ward: "Ward") -> None:
    ward.sql("INSERT INTO idempotency_keys VALUES ('p', 'u', 'key', 'hash', 202, 'volume', 'v', :ago)", ago=LONG_AGO)
    assert ward.kinds() == ["keys.kept"]
    ward.repair_all()
    assert ward.found() == []


def test_what_its_service_died_of_is_told_until_somebody_deals_with_it(ward: "Ward") -> None:
    volume_id = ward.volume("error", made=False, host=None, storage_id=None)
    ward.sql("UPDATE pools SET allocated = 0, volumes = 0")
    operation_id = ward.operation("volume.create", volume_id)
    error = '{"type": "Poisonous", "message": "it was taken 10 times"}'
    ward.sql("UPDATE operations SET state = 'failed', live_key = NULL, claims = 11, error = :error", error=error)
    (finding,) = ward.found()
    assert (finding.kind, finding.subject, finding.repair) == ("operation.poisonous", operation_id, None)
    assert "it was taken 10 times" in finding.evidence
    ward.sql("UPDATE operations SET created_at = created_at - 1000000")
    ward.operation("volume.create", volume_id)
    assert "operation.poisonous" not in ward.kinds()

"""Remains of deletes: those that a live purge works on are in order; what nobody purges is purged again."""

import uuid
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import select

from tests.lab.remaining_driver import RemainingDriver
from volumed.db import quotas
from volumed.db.tables import operations
from volumed.driver.interface import VolumeRef
from volumed.model import quota_use
from volumed.model.records import Operation
from volumed.operations import remains
from volumed.operations.locks import Claims
from volumed.volume.purge import PurgeVolume

if TYPE_CHECKING:
    from tests.unit.doctor.conftest import Ward

ARGS = remains.arguments("pool", 1, {}, "storage", "1 file in the trash")


@pytest.fixture
def driver_class() -> type[RemainingDriver]:
    return RemainingDriver


def leave(ward: "Ward") -> str:
    """Remains of a volume that was deleted, whose allocation is not given back yet."""
    volume = VolumeRef(str(uuid.uuid4()), 1, "pool")
    ward.driver.create(volume)
    ward.driver.delete(volume)
    ward.sql("UPDATE pools SET allocated = 1, volumes = 1")
    return volume.id


def purges(ward: "Ward") -> list[Operation]:
    """All purges, in order."""
    wanted = select(operations).where(operations.c.kind == remains.PURGE).order_by(operations.c.created_at)
    with ward.database.reading() as tx:
        return [Operation(*row) for row in tx.execute(wanted)]


def test_what_a_live_purge_works_on_is_no_finding(ward: "Ward") -> None:
    left = leave(ward)
    ward.operation(remains.PURGE, str(uuid.uuid4()), left, resource_type="leftover", args=ARGS)
    assert ward.found() == []


def test_a_purge_that_was_given_up_is_one_finding_and_queued_again(ward: "Ward") -> None:
    left = leave(ward)
    purge = ward.operation(remains.PURGE, str(uuid.uuid4()), left, resource_type="leftover", args=ARGS)
    ward.sql("UPDATE operations SET state = 'failed', live_key = NULL WHERE id = :id", id=purge)
    (finding,) = ward.found()
    assert (finding.kind, finding.subject) == ("purge.failed", purge)
    assert ward.repair(finding).state == "succeeded"
    assert ([each.state for each in purges(ward)], ward.found()) == (["failed", "queued"], [])
    assert purges(ward)[1].args["storage_id"] == "storage", "it gives the allocation back in the end"


def test_a_volume_counts_until_its_purge_ends_and_once_where_that_was_wished(ward: "Ward") -> None:
    use = quota_use.of_volume(1, "__DEFAULT__")
    left, args = leave(ward), ARGS | {"quota": {"project_id": "tenant", "use": use}}
    ward.database.write(quotas.adjust, "tenant", use)
    purge = ward.operation(remains.PURGE, str(uuid.uuid4()), left, resource_type="leftover", args=args)
    assert ward.found() == []
    procedure = PurgeVolume(cast(Any, None), cast(Any, None))
    (queued,) = purges(ward)
    assert ward.database.write(procedure.fail, procedure.prepare(queued), {}) is None
    ward.sql("UPDATE operations SET state = 'failed', live_key = NULL WHERE id = :id", id=purge)
    (finding,) = ward.found()
    assert finding.kind == "purge.failed", "the quota is in order: it was given back"
    ward.repair(finding)
    assert "quota" not in purges(ward)[1].args, "nor is it given back again"


def test_remains_that_nobody_knows_are_found_unless_they_are_in_work(ward: "Ward") -> None:
    left = leave(ward)
    ward.sql("UPDATE pools SET allocated = 0, volumes = 0")
    with ward.locks.holding(Claims(exclusive=[remains.purge_lock(left)]), patience=0):
        assert ward.found() == []
    (finding,) = ward.found()
    assert (finding.kind, finding.volume_id) == ("data.remains", left)
    assert ward.repair(finding).state == "succeeded"
    assert ([each.state for each in purges(ward)], ward.found()) == (["queued"], [])


def test_remains_of_a_volume_that_has_a_row_again_are_told_and_kept(ward: "Ward") -> None:
    left = leave(ward)
    ward.volume(id=left, made=False)
    (finding,) = [each for each in ward.backend.look() if each.kind == "data.remains"]
    assert (finding.volume_id, finding.repair) == (left, None)
    ward.repair_all()
    assert purges(ward) == []

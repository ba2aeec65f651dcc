"""Messages without an operation: the one that is live is found, the one that is missing is made with its accounts."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from volumed.db import attachments, operations, pools, quotas, services, snapshots, volumes
from volumed.db.engine import Database
from volumed.driver.interface import PoolCapabilities
from volumed.model.context import RequestContext
from volumed.model.errors import BusyResource, HasDependents, Invalid, InvalidField, InvalidStatus, NotFound
from volumed.volume.adoption import Adoption

HOST = "node@file"
CALLER = RequestContext("u", "p", False, "req-1")
POOLS = tuple(PoolCapabilities(name, f"storage-{name}", 10.0, 9.0, 0.0, 0, 20.0, True) for name in ("first", "second"))


@pytest.fixture
def adoption(database: Database) -> Adoption:
    return Adoption(database, HOST, lambda: POOLS, count_snapshot_gigabytes=True)


def read(database: Database, get: Callable[..., Any], *arguments: Any) -> Any:
    with database.reading() as tx:
        return get(tx, *arguments)


def in_use(database: Database) -> tuple[int, int]:
    found = read(database, quotas.usage, "p", {"volumes": 0, "gigabytes": 0}, {})
    return found.get("volumes", (0, 0))[0], found.get("gigabytes", (0, 0))[0]


def test_a_create_gets_its_place_its_quota_and_its_allocation(adoption, database, add_volume) -> None:
    volume_id = add_volume(size=3)
    operation = read(database, operations.get, adoption.create(CALLER, volume_id))
    assert (operation.kind, operation.queue, operation.state) == ("volume.create", HOST, "queued")
    assert read(database, volumes.get, volume_id).host == f"{HOST}#first"
    assert read(database, pools.allocations) == {"storage-first": (3, 1)}
    assert in_use(database) == (1, 3)


def test_the_pool_that_was_chosen_before_is_kept(adoption, database, add_volume) -> None:
    volume_id = add_volume(host=f"{HOST}#second")
    adoption.create(CALLER, volume_id)
    assert read(database, volumes.get, volume_id).storage_id == "storage-second"


def test_the_same_message_on_many_threads_makes_one_operation(adoption, database, add_volume) -> None:
    volume_id = add_volume(size=2)
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: adoption.create(CALLER, volume_id), range(8)))
    assert len(made) == 1
    assert in_use(database) == (1, 2)
    assert read(database, pools.allocations) == {"storage-first": (2, 1)}


@pytest.mark.parametrize("status", ["available", "error", "deleting", "in-use"])
def test_what_is_not_creating_is_not_created(adoption, database, add_volume, status) -> None:
    with pytest.raises(InvalidStatus, match=f"is {status}"):
        adoption.create(CALLER, add_volume(status))
    assert (in_use(database), read(database, pools.allocations)) == ((0, 0), {})


def test_an_unknown_volume_is_not_found(adoption) -> None:
    with pytest.raises(NotFound):
        adoption.create(CALLER, str(uuid.uuid4()))


def test_a_delete_moves_the_volume_and_refuses_one_that_is_read(adoption, database, add_volume) -> None:
    source, clone = add_volume("available", host=f"{HOST}#first"), add_volume()
    database.write(volumes.change, clone, source_volid=source)
    adoption.create(CALLER, clone)
    with pytest.raises(BusyResource):
        adoption.delete(CALLER, source)
    other = add_volume("available", host=f"{HOST}#first")
    assert read(database, operations.get, adoption.delete(CALLER, other)).kind == "volume.delete"
    assert read(database, volumes.get, other).status == "deleting"


@pytest.mark.parametrize("size", [1, 0, -1, True, "3", None, 2.5])
def test_an_extend_to_no_larger_whole_number_changes_nothing(adoption, database, add_volume, size) -> None:
    volume_id = add_volume("available", host=f"{HOST}#first")
    with pytest.raises(InvalidField, match="new_size"):
        adoption.extend(CALLER, volume_id, size)
    assert read(database, volumes.get, volume_id).status == "available"


def test_an_extend_counts_what_it_adds(adoption, database, add_volume) -> None:
    operation_id = adoption.extend(CALLER, add_volume("available", host=f"{HOST}#first"), 4)
    assert read(database, operations.get, operation_id).args == {"new_size": 4, "old_size": 1}
    assert in_use(database) == (0, 3)


def attached(database, volume_id: str) -> str:
    values = {
        "project_id": "p",
        "user_id": "u",
        "volume_id": volume_id,
        "attach_mode": "rw",
        "connector": {"host": "n"},
    }
    database.write(attachments.add_attached, str(uuid.uuid4()), **values)
    return volume_id


@pytest.mark.parametrize("supported", [True, False, None])
def test_an_attached_volume_is_extended_where_its_backend_can(adoption, database, add_volume, supported) -> None:
    database.write(services.register, "id", services.VOLUME_BINARY, HOST, "t", "nova", "incarnation", "1.4")
    if supported is not None:
        database.write(services.tell_extends_in_use, HOST, supported)
    volume_id = attached(database, add_volume("in-use", host=f"{HOST}#first"))
    if supported:
        assert read(database, operations.get, adoption.extend(CALLER, volume_id, 4)).kind == "volume.extend"
    else:
        with pytest.raises(Invalid, match="a volume that is attached"):
            adoption.extend(CALLER, volume_id, 4)
    assert read(database, volumes.get, volume_id).status == ("extending" if supported else "in-use")
    assert in_use(database) == (0, 3 if supported else 0)


def test_an_attached_volume_whose_extend_failed_is_not_deleted(adoption, database, add_volume) -> None:
    volume_id = attached(database, add_volume("error_extending", host=f"{HOST}#first"))
    with pytest.raises(HasDependents, match="1 attachments"):
        adoption.delete(CALLER, volume_id)


def test_a_snapshots_create_and_delete(adoption, database, add_volume) -> None:
    volume_id = add_volume("available", host=f"{HOST}#first")
    volume = read(database, volumes.get, volume_id)
    values = {"project_id": "p", "user_id": "u", "size": 1, "metadata": {}, "facts": {}}
    values |= {"volume_id": volume_id, "volume_type_id": volume.volume_type_id}
    database.write(snapshots.add, id="new", status="creating", **values)
    database.write(snapshots.add, id="old", status="available", **values)
    made = read(database, operations.get, adoption.create_snapshot(CALLER, "new"))
    assert (made.kind, made.source_id, made.lane) == ("snapshot.create", volume_id, "long")
    assert read(database, operations.get, adoption.delete_snapshot(CALLER, "old")).kind == "snapshot.delete"
    assert read(database, snapshots.get, "old").status == "deleting"


def test_volumes_whose_message_was_lost_are_found(adoption, database, add_volume) -> None:
    here = f"{HOST}#first"
    creating, deleting = add_volume("creating", host=here), add_volume("deleting", host=here)
    extending, used = add_volume("extending", host=here), attached(database, add_volume("extending", host=here))
    add_volume("creating", host="node@file2#first")
    add_volume("available", host=here)
    assert adoption.lost(60.0) == []
    found = [read(database, operations.get, operation_id) for operation_id in adoption.lost(-1.0)]
    assert {(each.volume_id, each.kind) for each in found} == {
        (creating, "volume.create"),
        (deleting, "volume.delete"),
    }
    assert read(database, volumes.get, extending).status == "available"
    assert read(database, volumes.get, used).status == "in-use"
    assert adoption.lost(-1.0) == []

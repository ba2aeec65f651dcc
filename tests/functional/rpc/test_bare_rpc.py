"""The volume manager spoken to by RPC alone, as another API tier on the same database would: no operation is given.

A scheduler's place is taken by a recorder of its messages; broker, database, driver and target are real.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bare_rig import CALLER, CONNECTOR, Rig, bare_rig
from volumed.db import attachments, operations, pools, quotas, snapshots, volumes
from volumed.model.context import RequestContext
from volumed.model.errors import InvalidField, InvalidMessage, InvalidStatus, NotFound
from volumed.rpc import volume_client
from volumed.rpc.transport import IN_PROCESS_URL


@pytest.fixture(params=["in-process", pytest.param("rabbitmq", marks=pytest.mark.part("rabbitmq-server"))])
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The same on the broker of one process and on RabbitMQ."""
    url = IN_PROCESS_URL if request.param == "in-process" else request.getfixturevalue("vhost").url
    with bare_rig(tmp_path, url) as rig:
        yield rig


def test_a_foreign_create_gets_an_operation_its_place_and_its_quota(rig: Rig) -> None:
    volume_id = rig.finished_volume()
    volume = rig.read(volumes.get, volume_id)
    assert (volume.host, volume.launched_at is not None) == (f"{rig.host}#pool", True)
    assert (rig.pool / f"volume-{volume_id}").stat().st_size == 1 << 30
    assert rig.read(pools.allocations)[volume.storage_id] == (1, 1)
    assert rig.read(quotas.usage, "p", {"volumes": 0, "gigabytes": 0}, {})["gigabytes"][0] == 1


def test_the_same_message_twice_has_one_effect(rig: Rig) -> None:
    volume_id = rig.volume()
    for _ in range(3):
        rig.messenger.cast(
            CALLER, volume_client.TOPIC, "create_volume", {"volume_id": volume_id}, version="1.0", server=rig.host
        )
    rig.until(lambda: rig.read(volumes.get, volume_id).status == "available")
    assert len(rig.read(lambda tx: operations_of(tx, volume_id))) == 1


def operations_of(tx: Any, volume_id: str) -> list[Any]:
    from sqlalchemy import select

    from volumed.db.tables import operations as rows

    return list(tx.execute(select(rows).where(rows.c.volume_id == volume_id)))


def test_a_message_for_an_unknown_operation_changes_nothing(rig: Rig) -> None:
    volume_id = rig.finished_volume()
    before = rig.read(volumes.get, volume_id)
    for method in ("create_volume", "delete_volume"):
        rig.call(method, volume_id=volume_id, operation_id=str(uuid.uuid4()))
    rig.until(lambda: rig.call("service_version"))
    rig.finished_volume()  # by the same workers, after them
    assert rig.read(volumes.get, volume_id) == before


def test_a_message_for_an_operation_of_another_queue_changes_nothing(rig: Rig) -> None:
    volume_id = rig.finished_volume()
    operation_id = str(uuid.uuid4())
    new = operations.NewOperation(
        operation_id, "volume.delete", "volume", volume_id, volume_id, "p", "u", "req-rpc", "elsewhere@disk"
    )
    rig.database.write(operations.add, new)
    rig.call("delete_volume", volume_id=volume_id, operation_id=operation_id)
    rig.finished_volume()
    assert rig.read(operations.get, operation_id).claims == 0
    assert rig.read(volumes.get, volume_id).status == "available"


def test_a_lost_cast_is_found_by_the_sweep(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volumed.volume.worker.LOST_AGE", 0.1)
    volume_id = rig.volume(host=f"{rig.host}#pool")
    rig.until(lambda: rig.read(volumes.get, volume_id).status == "available")


def test_extend_snapshot_clone_and_delete(rig: Rig) -> None:
    volume_id = rig.finished_volume()
    with (rig.pool / f"volume-{volume_id}").open("r+b") as data:
        data.write(b"data")
    rig.call("extend_volume", volume_id=volume_id, new_size=2)
    rig.until(lambda: rig.read(volumes.get, volume_id).size == 2)
    snapshot_id = rig.snapshot_row(volume_id)
    rig.call("create_snapshot", volume_id=volume_id, snapshot_id=snapshot_id)
    rig.until(lambda: rig.read(snapshots.get, snapshot_id).status == "available")
    copies = [
        rig.volume(size=2, snapshot_id=snapshot_id),
        rig.volume(size=3, source_volid=volume_id),
    ]
    rig.call("create_volume", volume_id=copies[0], snapshot_id=snapshot_id)
    rig.call("create_volume", volume_id=copies[1], source_volid=volume_id)
    for copy in copies:
        rig.until(lambda copy=copy: rig.read(volumes.get, copy).status == "available")
        with (rig.pool / f"volume-{copy}").open("rb") as data:
            assert data.read(4) == b"data"
    rig.call("delete_snapshot", snapshot_id=snapshot_id)
    rig.until(lambda: rig.read(snapshots.find, snapshot_id) is None)
    for gone in (volume_id, *copies):
        rig.call("delete_volume", volume_id=gone)
        rig.until(lambda gone=gone: rig.read(volumes.find, gone) is None)
    assert [path.name for path in rig.pool.iterdir()] == [".volumed-owner"]
    assert all(used == (0, -1) for used in rig.read(quotas.usage, "p", {"volumes": 0, "gigabytes": 0}, {}).values())
    assert set(rig.read(pools.allocations).values()) == {(0, 0)}


def test_the_classic_attach_and_detach(rig: Rig) -> None:
    volume_id = rig.finished_volume()
    first = rig.call("initialize_connection", volume_id=volume_id, connector=CONNECTOR)
    assert first["data"]["auth_method"] == "CHAP"
    assert rig.call("initialize_connection", volume_id=volume_id, connector=CONNECTOR) == first
    rig.call("attach_volume", volume_id=volume_id, instance_uuid=str(uuid.uuid4()), mountpoint="/dev/vdb")
    assert rig.read(volumes.get, volume_id).status == "in-use"
    rig.call("terminate_connection", volume_id=volume_id, connector=CONNECTOR)
    rig.call("terminate_connection", volume_id=volume_id, connector=CONNECTOR)
    rig.call("detach_volume", volume_id=volume_id)
    assert rig.read(volumes.get, volume_id).status == "available"
    assert rig.read(attachments.of_volume, volume_id) == []


def test_an_operation_belongs_to_the_resources_project_whoever_asked(rig: Rig) -> None:
    volume_id = rig.volume()
    administrator = RequestContext("root", "admins", True, "req-root")
    for method, arguments in (
        ("create_volume", {}),
        ("initialize_connection", {"connector": CONNECTOR}),
        ("terminate_connection", {"connector": CONNECTOR}),
        ("delete_volume", {}),
    ):
        rig.messenger.call(
            administrator,
            volume_client.TOPIC,
            method,
            {"volume_id": volume_id} | arguments,
            version="1.4",
            server=rig.host,
        )
        rig.until(lambda: all(row.ended_at for row in rig.read(lambda tx: operations_of(tx, volume_id))))
    found = rig.read(lambda tx: operations_of(tx, volume_id))
    assert {(row.project_id, row.user_id) for row in found} == {("p", "root")}
    assert len(found) == 4


def test_terminate_for_an_initiator_that_never_came_is_fine(rig: Rig) -> None:
    rig.call("terminate_connection", volume_id=rig.finished_volume(), connector=CONNECTOR)


def test_a_secret_is_in_no_row_but_the_attachments(rig: Rig) -> None:
    volume_id = rig.finished_volume()
    secret = rig.call("initialize_connection", volume_id=volume_id, connector=CONNECTOR)["data"]["auth_password"]
    attachment = rig.read(attachments.of_volume, volume_id)[0]
    assert secret not in str(attachment.connection_info)
    assert secret not in str(rig.read(lambda tx: operations_of(tx, volume_id)))
    assert secret not in repr(rig.read(lambda tx: list(tx.exec_driver_sql("SELECT * FROM events"))))


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("create_volume", {"volume_id": "nothing"}, NotFound),
        ("create_volume", {"volume_id": "nothing", "image_id": "i"}, InvalidField),
        ("delete_volume", {"volume_id": "nothing"}, NotFound),
        ("delete_snapshot", {"snapshot_id": "nothing"}, NotFound),
        ("initialize_connection", {"volume_id": "nothing", "connector": CONNECTOR}, NotFound),
        ("initialize_connection", {"volume_id": "nothing", "connector": "x"}, InvalidMessage),
    ],
)
def test_a_bad_message_gets_a_typed_error_and_changes_nothing(
    rig: Rig, method: str, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        rig.call(method, **arguments)


def test_what_is_not_creating_is_not_created(rig: Rig) -> None:
    volume_id = rig.finished_volume()
    with pytest.raises(InvalidStatus):
        rig.call("create_volume", volume_id=volume_id)
    with pytest.raises(InvalidField, match="new_size"):
        rig.call("extend_volume", volume_id=volume_id, new_size=1)
    assert rig.read(operations.live_on, volume_id) is None


def test_version_and_options_are_told_and_secrets_are_not(rig: Rig) -> None:
    assert rig.call("service_version")["rpc"] == "1.7"
    told = rig.call("service_config")
    assert told["disk"]["target_helper"] == "fake"
    assert told["database"]["connection"] == "***"

"""Removing services: what they were asked for ends, also what was accepted while they went."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.lab.sealed import seal_in
from volumed import conf
from volumed.db import operations, services, tables, volume_types, volumes
from volumed.db.engine import Database
from volumed.launch import administration
from volumed.model.errors import NotFound

HOST = "node@disk"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/volumed.db", seal=seal_in(tmp_path))
    tables.METADATA.create_all(database.engine)
    database.write(volume_types.ensure_default, "plain")
    yield database
    database.close()


def accept_extend(tx: Connection) -> str:
    """As the API does, for a volume of the service; the operation's id."""
    volume_id, kind = str(uuid.uuid4()), volume_types.get(tx, "plain").id
    values = {"project_id": "p", "user_id": "u", "size": 1, "status": "extending", "availability_zone": "nova"}
    values |= {"volume_type_id": kind, "host": f"{HOST}#pool", "bootable": False, "multiattach": False}
    volumes.add(tx, id=volume_id, metadata={}, facts={}, **values)
    new = operations.NewOperation(
        id=str(uuid.uuid4()),
        kind="volume.extend",
        resource_type="volume",
        resource_id=volume_id,
        volume_id=volume_id,
        project_id="p",
        user_id="u",
        request_id="req-1",
        queue=HOST,
        args={"new_size": 2, "quota": {}},
    )
    operations.add(tx, new)
    return new.id


def test_what_was_accepted_while_the_service_went_ends_too(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request had seen the service's row, and commits when that is gone."""
    configuration = conf.load()
    configuration.set_override("state_path", str(tmp_path))
    database.write(services.register, str(uuid.uuid4()), "volumed-volume", HOST, "t", "nova", "incarnation", "1.4")
    database.write(services.report, "volumed-volume", HOST, "incarnation", "down", None)
    accepted, really = [database.write(accept_extend)], services.remove

    def remove(tx: Connection, binary: str, host: str, incarnation: str) -> bool:
        accepted.append(accept_extend(tx))
        return really(tx, binary, host, incarnation)

    monkeypatch.setattr(services, "remove", remove)
    told = administration.remove(configuration, database, "volumed-volume", HOST, is_lost=True)
    assert told == f"volumed-volume on {HOST} is forgotten; 2 operations have ended without it"
    accepted.append(database.write(accept_extend))
    told = administration.remove(configuration, database, "volumed-volume", HOST, is_lost=True)
    assert told == f"volumed-volume on {HOST} was forgotten; 1 operations have ended without it"
    with database.reading() as tx:
        assert [operations.get(tx, each).state for each in accepted] == ["failed"] * 3
    for nothing_there in (HOST, operations.SCHEDULER_QUEUE):
        with pytest.raises(NotFound):
            administration.remove(configuration, database, "volumed-volume", nothing_there, is_lost=True)

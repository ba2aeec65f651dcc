"""Requests that meet the end of what they are about, on a server where both run at once."""

import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, update

from volumed.api.accept import cancellation
from volumed.db import operations, volume_types, volumes
from volumed.db.clock import now
from volumed.db.engine import Database
from volumed.db.operations import NewOperation
from volumed.model.context import RequestContext
from volumed.model.errors import InvalidStatus
from volumed.model.states import VolumeStatus


def deleting(database: Database) -> tuple[str, str]:
    """A volume that is ``deleting``, and its operation."""
    volume, operation = str(uuid.uuid4()), str(uuid.uuid4())
    owner: dict[str, Any] = {"project_id": "p1", "user_id": "alice"}

    def write(tx: Connection) -> None:
        volume_types.ensure_default(tx, "fast")
        kind = volume_types.find(tx, "fast")
        assert kind is not None
        values = {"size": 1, "status": VolumeStatus.DELETING, "availability_zone": "nova", "volume_type_id": kind.id}
        plain = {"bootable": False, "multiattach": False, "metadata": {}, "facts": {}}
        volumes.add(tx, id=volume, **owner, **values, **plain)
        about = {"resource_type": "volume", "resource_id": volume, "volume_id": volume}
        new = NewOperation(operation, "volume.delete", request_id="req-1", queue="node@backend", **about, **owner)
        operations.add(tx, new)

    database.write(write)
    return volume, operation


def test_a_cancel_that_meets_the_end_of_a_delete_says_that_it_has_ended(direct: Database) -> None:
    volume, operation = deleting(direct)
    caller = RequestContext("alice", "p1", is_admin=False, request_id="req-2")

    def end(tx: Connection) -> "Future[Any]":
        volumes.remove(tx, volume)
        table = operations.operations
        tx.execute(
            update(table).where(table.c.id == operation).values(state="succeeded", ended_at=now(), live_key=None)
        )
        asked = one.submit(direct.write, lambda tx: cancellation.cancel(tx, caller, operation))
        time.sleep(1)  # until it waits for the row that goes
        assert not asked.done()
        return asked

    with ThreadPoolExecutor(1) as one:
        asked = direct.write(end)
        with pytest.raises(InvalidStatus, match="succeeded"):
            asked.result(60)

"""Operations to put into a database."""

import uuid
from collections.abc import Callable

import pytest

from volumed.db import operations
from volumed.db.engine import Database
from volumed.db.operations import NewOperation


@pytest.fixture
def queued(database: Database) -> Callable[..., str]:
    """Makes a queued operation and returns its id."""

    def make(queue: str = "node@disk", kind: str = "work", **more: object) -> str:
        operation_id = str(uuid.uuid4())
        resource = str(uuid.uuid4())
        values = {"resource_id": resource, "volume_id": resource} | more
        database.write(
            operations.add,
            NewOperation(
                id=operation_id,
                kind=kind,
                resource_type="volume",
                project_id="p",
                user_id="u",
                request_id="req-1",
                queue=queue,
                **values,
            ),
        )
        return operation_id

    return make

"""What became of requests that carried an Idempotency-Key: a reference to the resource, never the answer itself."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from volumed.db.clock import SECOND, now, now_once
from volumed.db.tables import idempotency_keys


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """A key belongs to a user of a project."""

    project_id: str
    user_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """A request that was accepted under a key, and what its answer is about."""

    request_hash: str
    status: int
    resource_type: str
    resource_id: str


def add(tx: Connection, owner: KeyOwner, remembered: Remembered) -> None:
    """Take the key in the transaction of what it stands for. A key that is taken: ``IntegrityError``."""
    tx.execute(
        insert(idempotency_keys).values(
            project_id=owner.project_id,
            user_id=owner.user_id,
            key=owner.key,
            request_hash=remembered.request_hash,
            status=remembered.status,
            resource_type=remembered.resource_type,
            resource_id=remembered.resource_id,
            created_at=now(),
        )
    )


def find(tx: Connection, owner: KeyOwner) -> Remembered | None:
    """What the key stands for, None when it is free."""
    columns = idempotency_keys.c
    wanted = select(columns.request_hash, columns.status, columns.resource_type, columns.resource_id)
    row = tx.execute(wanted.where(*_owned(owner))).first()
    return None if row is None else Remembered(*row)


def forget_expired(tx: Connection, owner: KeyOwner, retention: float) -> bool:
    """Free the key if it is older than ``retention`` seconds; whether it was."""
    expired = delete(idempotency_keys).where(*_owned(owner), idempotency_keys.c.created_at < _before(retention))
    return bool(tx.execute(expired).rowcount)


def prune(tx: Connection, retention: float, limit: int = 500) -> int:
    """Delete up to ``limit`` keys older than ``retention`` seconds; how many were deleted."""
    columns = idempotency_keys.c
    wanted = select(columns.project_id, columns.user_id, columns.key).where(columns.created_at < _before(retention))
    old = [KeyOwner(*row) for row in tx.execute(wanted.limit(limit))]
    for owner in old:
        tx.execute(delete(idempotency_keys).where(*_owned(owner)))
    return len(old)


def _owned(owner: KeyOwner) -> tuple[ColumnElement[bool], ...]:
    columns = idempotency_keys.c
    return columns.project_id == owner.project_id, columns.user_id == owner.user_id, columns.key == owner.key


def _before(retention: float) -> ColumnElement[int]:
    return now_once() - int(retention * SECOND)

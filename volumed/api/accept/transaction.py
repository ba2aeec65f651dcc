"""An accepted request is ONE transaction: its key, its quota, its rows, its operation, its event.

Runs that transaction, again where a project's first use needs its quota rows, and at most once for an Idempotency-Key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from volumed.api.idempotency import owner_of, request_hash
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier
from volumed.db import idempotency, operations, quotas, services
from volumed.db.idempotency import KeyOwner, Remembered
from volumed.db.operations import NewOperation
from volumed.model.crash_points import crash_point
from volumed.model.errors import BusyResource, IdempotencyKeyReused, ServiceRemoved

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reference:
    """What a request's answer is about, with the answer's code: enough to build the answer again."""

    resource_type: str
    resource_id: str
    status: int = 202


class Repeated(Exception):
    """The key's request was accepted before; the answer is built from ``reference``."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        super().__init__(reference.resource_id)


class _KeyTaken(Exception):
    pass


class _LiveKeyTaken(Exception):
    def __init__(self, new: NewOperation) -> None:
        self.new = new
        super().__init__(new.resource_id)


def accept(
    tier: Tier,
    req: ApiRequest,
    about: Reference,
    work: Callable[Concatenate[Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Run ``work(tx, ...)`` in one transaction and return what it returns. Raises ``Repeated``, and what it raises."""
    owner = owner_of(req)

    def run(tx: Connection) -> T:
        if owner is not None:
            _take_key(tx, owner, req, about)
        return work(tx, *args, **kwargs)

    while True:
        try:
            done = tier.database.write(run)
            crash_point("api.accepted")
            return done
        except quotas.MissingRows as missing:
            quotas.ensure_rows(tier.database, missing)
        except _LiveKeyTaken as taken:
            _refuse_as_busy(tier, taken.new)
        except _KeyTaken:
            assert owner is not None
            _answer_repeat(tier, owner, req)


def recall(tier: Tier, req: ApiRequest) -> None:
    """Raise ``Repeated`` where the request's key was accepted before.

    For who must ask something before the transaction that the first request has changed.
    """
    owner = owner_of(req)
    if owner is None:
        return
    with tier.database.reading() as tx:
        known = idempotency.find(tx, owner)
    if known is not None:
        _answer_repeat(tier, owner, req)


def enqueue(tx: Connection, new: NewOperation, live_key: str | None = None) -> str:
    """Insert the request's operation; its id. The resource's row was taken before, so a live one is a rare race.

    ``live_key``: what it holds in place of its resource. Raises ``ServiceRemoved`` where nobody would ever take it.
    """
    if new.queue != operations.SCHEDULER_QUEUE and not services.is_known(tx, new.queue):
        raise ServiceRemoved(host=new.queue)
    try:
        operations.add(tx, new, live_key)
    except IntegrityError as error:
        raise _LiveKeyTaken(new) from error
    return new.id


def _take_key(tx: Connection, owner: KeyOwner, req: ApiRequest, about: Reference) -> None:
    remembered = Remembered(request_hash(req), about.status, about.resource_type, about.resource_id)
    try:
        idempotency.add(tx, owner, remembered)
    except IntegrityError as error:
        raise _KeyTaken from error


def _answer_repeat(tier: Tier, owner: KeyOwner, req: ApiRequest) -> None:
    """Raise what the repeat is answered with; returns when the key has become free."""
    if tier.database.write(idempotency.forget_expired, owner, tier.settings.idempotency_retention):
        return
    with tier.database.reading() as tx:
        remembered = idempotency.find(tx, owner)
    if remembered is None:
        return
    if remembered.request_hash != request_hash(req):
        raise IdempotencyKeyReused(key=owner.key)
    raise Repeated(Reference(remembered.resource_type, remembered.resource_id, remembered.status))


def _refuse_as_busy(tier: Tier, new: NewOperation) -> None:
    with tier.database.reading() as tx:
        holder = operations.live_on(tx, new.resource_id)
    if holder is not None:
        raise BusyResource(
            resource_type=new.resource_type, resource_id=new.resource_id, operation_id=holder.id, kind=holder.kind
        )

"""What a request to repair writes: an operation for each finding."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import Connection

from volumed.api.accept.transaction import enqueue
from volumed.db.operations import NewOperation
from volumed.model.context import RequestContext
from volumed.model.errors import Invalid, NotFound
from volumed.model.findings import FINDING, REPAIR, Finding

#: Findings that one request repairs at most; the next one repairs the next.
MOST_REPAIRS = 1000


@dataclass(frozen=True, slots=True)
class Repair:
    """A finding, the ``host@backend`` that repairs it, and the operation that this becomes."""

    finding: Finding
    host: str
    operation_id: str


def plan(found: Sequence[Finding], wanted: str | None, hosts: Sequence[str]) -> list[Repair]:
    """The repairs of the finding ``wanted``, None: of all; what is about rows alone is repaired by one of ``hosts``."""
    chosen = [each for each in found if (each.id == wanted if wanted else each.repair is not None)]
    return [Repair(each, each.host or hosts[0], str(uuid4())) for each in chosen[:MOST_REPAIRS] if each.host or hosts]


def repair(tx: Connection, caller: RequestContext, wanted: str | None, repairs: Sequence[Repair]) -> None:
    """Make the operations. Raises ``NotFound`` when the finding is none any more, ``Invalid`` without a repair."""
    if wanted is not None and not repairs:
        raise NotFound(resource_type="finding", resource_id=wanted)
    for each in repairs:
        if each.finding.repair is None:
            raise Invalid(reason=f"Finding {each.finding.id} has no repair: {each.finding.evidence}.")
        enqueue(tx, _operation(caller, each))


def _operation(caller: RequestContext, each: Repair) -> NewOperation:
    return NewOperation(
        id=each.operation_id,
        kind=REPAIR,
        resource_type=FINDING,
        resource_id=str(uuid4()),
        volume_id=each.finding.volume_id or each.finding.id,
        project_id=caller.project_id,
        user_id=caller.user_id,
        request_id=caller.request_id,
        queue=each.host,
        args={"finding": each.finding.as_record()},
    )

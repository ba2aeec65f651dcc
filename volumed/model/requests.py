"""What happens to a request in each status of its resource: the one table, for code and docs.

``RUN``: it is accepted and becomes an operation. ``JOIN``: the same is already under way; the answer is that one's.
``CANCEL``: the live operation on it is cancelled, and the request follows its end. Whatever is not named is refused
with 400 in OpenStack's words. Beside the status, a live operation that holds the resource or reads it refuses every
other request of this table (``db.operations.refuse_if_held``).
"""

from collections.abc import Collection, Mapping
from enum import StrEnum

from volumed.model.errors import InvalidStatus
from volumed.model.states import AttachStatus, SnapshotStatus, VolumeStatus


class Answer(StrEnum):
    RUN = "run"
    JOIN = "join"
    CANCEL = "cancel"


class Cancellation(StrEnum):
    """How long an operation can be cancelled."""

    UNTIL_ITS_END = "until it has ended"
    UNTIL_BEGUN = "until it has begun"
    NEVER = "never"


_V, _S, _A = VolumeStatus, SnapshotStatus, AttachStatus


def _run(*statuses: StrEnum, join: StrEnum | None = None, cancel: Collection[StrEnum] = ()) -> dict[str, Answer]:
    answers = {str(status): Answer.RUN for status in statuses}
    answers |= {str(status): Answer.CANCEL for status in cancel}
    return answers | ({str(join): Answer.JOIN} if join is not None else {})


#: Requests on a volume. ``attach`` on a multiattach volume may also run ``in-use`` (``attach_again``).
#: ``create_again``, ``extend_again``, ``revert_again`` and ``flatten_again`` are retries of what failed.
#: ``extend_online`` is an extend from microversion 3.42 on; an attached volume's backend must have said that it can.
VOLUME_REQUESTS: Mapping[str, Mapping[str, Answer]] = {
    "delete": _run(
        *(_V.AVAILABLE, _V.ERROR, _V.ERROR_EXTENDING, _V.ERROR_DELETING, _V.ERROR_MANAGING), join=_V.DELETING
    ),
    "force_delete": _run(
        *(_V.AVAILABLE, _V.RESERVED, _V.ERROR, _V.ERROR_EXTENDING, _V.ERROR_DELETING, _V.ERROR_MANAGING),
        join=_V.DELETING,
        cancel=(_V.CREATING, _V.EXTENDING),
    ),
    "create_again": _run(_V.ERROR),
    "extend": _run(_V.AVAILABLE),
    "extend_again": _run(_V.ERROR_EXTENDING),
    "revert": _run(_V.AVAILABLE),
    "revert_again": _run(_V.ERROR),
    "extend_online": _run(_V.AVAILABLE, _V.IN_USE),
    "flatten_again": _run(_V.AVAILABLE, _V.RESERVED, _V.ATTACHING, _V.IN_USE, _V.DETACHING),
    "snapshot": _run(_V.AVAILABLE, _V.IN_USE),
    "clone": _run(_V.AVAILABLE, _V.IN_USE),
    "attach": _run(_V.AVAILABLE),
    "attach_again": _run(_V.AVAILABLE, _V.RESERVED, _V.ATTACHING, _V.IN_USE),
    "reset": _run(
        *(_V.AVAILABLE, _V.RESERVED, _V.IN_USE),
        *(_V.ERROR, _V.ERROR_EXTENDING, _V.ERROR_DELETING, _V.ERROR_UNMANAGING),
    ),
    "unmanage": _run(_V.AVAILABLE, _V.ERROR, _V.ERROR_EXTENDING, _V.ERROR_UNMANAGING, join=_V.UNMANAGING),
}

#: Requests on a snapshot; ``clone`` makes a volume from it, ``revert`` makes its volume what it is.
SNAPSHOT_REQUESTS: Mapping[str, Mapping[str, Answer]] = {
    "delete": _run(_S.AVAILABLE, _S.ERROR, _S.ERROR_DELETING, _S.ERROR_MANAGING, join=_S.DELETING),
    "create_again": _run(_S.ERROR),
    "clone": _run(_S.AVAILABLE),
    "revert": _run(_S.AVAILABLE),
    "reset": _run(_S.AVAILABLE, _S.ERROR, _S.ERROR_DELETING, _S.ERROR_UNMANAGING),
    "unmanage": _run(_S.AVAILABLE, _S.ERROR, _S.ERROR_UNMANAGING, join=_S.UNMANAGING),
}

#: Requests on an attachment: ``update`` brings the connector, ``complete`` says that the client is logged in.
ATTACHMENT_REQUESTS: Mapping[str, Mapping[str, Answer]] = {
    "update": _run(_A.RESERVED, _A.ATTACHED, _A.ERROR_ATTACHING, join=_A.ATTACHING),
    "complete": _run(_A.ATTACHING, _A.ATTACHED),
    "delete": _run(_A.RESERVED, _A.ATTACHING, _A.ATTACHED, _A.ERROR_ATTACHING, _A.ERROR_DETACHING, join=_A.DETACHING),
}

#: How long an operation of each kind can be cancelled. What has no way back is tried until it is done.
CANCELLATIONS: Mapping[str, Cancellation] = {
    "volume.create": Cancellation.UNTIL_ITS_END,
    "volume.extend": Cancellation.UNTIL_BEGUN,
    "volume.revert": Cancellation.UNTIL_BEGUN,
    "volume.delete": Cancellation.NEVER,
    "volume.reset": Cancellation.UNTIL_ITS_END,
    "volume.manage": Cancellation.UNTIL_ITS_END,
    "volume.unmanage": Cancellation.NEVER,
    "snapshot.manage": Cancellation.UNTIL_ITS_END,
    "snapshot.unmanage": Cancellation.NEVER,
    "snapshot.create": Cancellation.UNTIL_ITS_END,
    "snapshot.delete": Cancellation.NEVER,
    "snapshot.reset": Cancellation.UNTIL_ITS_END,
    "attachment.attach": Cancellation.UNTIL_ITS_END,
    "attachment.detach": Cancellation.NEVER,
    "cleanup": Cancellation.NEVER,
    "volume.purge": Cancellation.NEVER,
    "volume.flatten": Cancellation.UNTIL_ITS_END,
    "doctor.repair": Cancellation.NEVER,
}

_TABLES = {"volume": VOLUME_REQUESTS, "snapshot": SNAPSHOT_REQUESTS, "attachment": ATTACHMENT_REQUESTS}


def judge(resource_type: str, resource_id: str, request: str, status: str) -> Answer:
    """What happens to ``request`` on a resource in ``status``. Raises ``InvalidStatus`` when it is refused."""
    answers = _TABLES[resource_type][request]
    answer = answers.get(status)
    if answer is None:
        allowed = " or ".join(found for found, meaning in answers.items() if meaning is Answer.RUN)
        raise InvalidStatus(resource_type=resource_type, resource_id=resource_id, allowed=allowed, status=status)
    return answer

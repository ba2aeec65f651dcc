"""The statuses of every resource and the one table of the moves between them.

A status changes nowhere but along a line of these tables; ``db`` refuses any other move.
"""

from collections.abc import Mapping
from enum import StrEnum


class VolumeStatus(StrEnum):
    """The status of a volume, in the words of the Block Storage API."""

    CREATING = "creating"
    AVAILABLE = "available"
    RESERVED = "reserved"
    ATTACHING = "attaching"
    IN_USE = "in-use"
    DETACHING = "detaching"
    EXTENDING = "extending"
    REVERTING = "reverting"
    DELETING = "deleting"
    ERROR = "error"
    ERROR_EXTENDING = "error_extending"
    ERROR_DELETING = "error_deleting"
    MANAGING = "managing"
    ERROR_MANAGING = "error_managing"
    UNMANAGING = "unmanaging"
    ERROR_UNMANAGING = "error_unmanaging"


class SnapshotStatus(StrEnum):
    """The status of a snapshot, in the words of the Block Storage API."""

    CREATING = "creating"
    AVAILABLE = "available"
    RESTORING = "restoring"
    DELETING = "deleting"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"
    MANAGING = "managing"
    ERROR_MANAGING = "error_managing"
    UNMANAGING = "unmanaging"
    ERROR_UNMANAGING = "error_unmanaging"


class AttachStatus(StrEnum):
    """The status of an attachment, in the words of the Block Storage API."""

    RESERVED = "reserved"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"
    DETACHED = "detached"
    ERROR_ATTACHING = "error_attaching"
    ERROR_DETACHING = "error_detaching"


class OperationState(StrEnum):
    """Where an operation stands; ``succeeded`` and ``failed`` are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    UNDOING = "undoing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


_V, _S, _A, _O = VolumeStatus, SnapshotStatus, AttachStatus, OperationState

#: Statuses of a volume with nothing on its way: where it may rest.
RESTING_VOLUME = frozenset(
    {
        *(_V.AVAILABLE, _V.RESERVED, _V.IN_USE),
        *(_V.ERROR, _V.ERROR_EXTENDING, _V.ERROR_DELETING, _V.ERROR_MANAGING, _V.ERROR_UNMANAGING),
    }
)

#: Statuses of what is taken over or given away: whether it is ours is not certain, but for ``error_managing``: not.
_CHANGING_HANDS = frozenset({_V.MANAGING, _V.ERROR_MANAGING, _V.UNMANAGING, _V.ERROR_UNMANAGING})

#: Statuses of a volume whose data is whole: those are exported from the start where ``export_on_create`` says so.
WHOLE_VOLUME = frozenset(_V) - {_V.CREATING, _V.REVERTING, _V.DELETING, _V.ERROR} - _CHANGING_HANDS

#: Statuses of an attachment that may still let an initiator in.
REACHABLE_ATTACHMENT = frozenset({_A.ATTACHING, _A.ATTACHED, _A.ERROR_DETACHING})

#: The end states of an operation.
ENDED = frozenset({_O.SUCCEEDED, _O.FAILED})

VOLUME_MOVES: Mapping[VolumeStatus, frozenset[VolumeStatus]] = {
    _V.CREATING: frozenset({_V.AVAILABLE, _V.ERROR}),
    _V.AVAILABLE: frozenset(
        {
            *(_V.RESERVED, _V.ATTACHING, _V.IN_USE, _V.EXTENDING, _V.REVERTING),
            *(_V.DELETING, _V.ERROR, _V.UNMANAGING),
        }
    ),
    _V.RESERVED: frozenset({_V.AVAILABLE, _V.ATTACHING, _V.IN_USE, _V.DETACHING, _V.DELETING, _V.ERROR}),
    _V.ATTACHING: frozenset({_V.IN_USE, _V.RESERVED, _V.AVAILABLE, _V.DETACHING, _V.ERROR}),
    _V.IN_USE: frozenset({_V.DETACHING, _V.AVAILABLE, _V.RESERVED, _V.ATTACHING, _V.EXTENDING, _V.DELETING, _V.ERROR}),
    _V.DETACHING: frozenset({_V.AVAILABLE, _V.RESERVED, _V.ATTACHING, _V.IN_USE, _V.ERROR}),
    _V.EXTENDING: frozenset({_V.AVAILABLE, _V.RESERVED, _V.ATTACHING, _V.IN_USE, _V.DETACHING, _V.ERROR_EXTENDING}),
    _V.REVERTING: frozenset({_V.AVAILABLE, _V.ERROR}),
    _V.DELETING: frozenset({_V.ERROR_DELETING}),
    _V.ERROR: frozenset(
        {
            *(_V.CREATING, _V.REVERTING, _V.DELETING, _V.UNMANAGING),
            *(_V.AVAILABLE, _V.RESERVED, _V.ATTACHING, _V.IN_USE, _V.DETACHING),
        }
    ),
    _V.ERROR_EXTENDING: frozenset(
        {
            *(_V.EXTENDING, _V.DELETING, _V.ERROR, _V.UNMANAGING),
            *(_V.AVAILABLE, _V.RESERVED, _V.ATTACHING, _V.IN_USE, _V.DETACHING),
        }
    ),
    _V.ERROR_DELETING: frozenset({_V.DELETING, _V.AVAILABLE, _V.RESERVED, _V.IN_USE, _V.ERROR}),
    _V.MANAGING: frozenset({_V.AVAILABLE, _V.ERROR_MANAGING, _V.ERROR_UNMANAGING}),
    _V.ERROR_MANAGING: frozenset({_V.DELETING}),
    _V.UNMANAGING: frozenset({_V.ERROR_UNMANAGING}),
    _V.ERROR_UNMANAGING: frozenset({_V.UNMANAGING, _V.AVAILABLE, _V.ERROR}),
}

SNAPSHOT_MOVES: Mapping[SnapshotStatus, frozenset[SnapshotStatus]] = {
    _S.CREATING: frozenset({_S.AVAILABLE, _S.ERROR}),
    _S.AVAILABLE: frozenset({_S.RESTORING, _S.DELETING, _S.ERROR, _S.UNMANAGING}),
    _S.RESTORING: frozenset({_S.AVAILABLE}),
    _S.DELETING: frozenset({_S.ERROR_DELETING}),
    _S.ERROR: frozenset({_S.CREATING, _S.DELETING, _S.AVAILABLE, _S.UNMANAGING}),
    _S.ERROR_DELETING: frozenset({_S.DELETING, _S.AVAILABLE, _S.ERROR}),
    _S.MANAGING: frozenset({_S.AVAILABLE, _S.ERROR_MANAGING, _S.ERROR_UNMANAGING}),
    _S.ERROR_MANAGING: frozenset({_S.DELETING}),
    _S.UNMANAGING: frozenset({_S.ERROR_UNMANAGING}),
    _S.ERROR_UNMANAGING: frozenset({_S.UNMANAGING, _S.AVAILABLE, _S.ERROR}),
}

ATTACHMENT_MOVES: Mapping[AttachStatus, frozenset[AttachStatus]] = {
    _A.RESERVED: frozenset({_A.ATTACHING, _A.ATTACHED, _A.DETACHING}),
    _A.ATTACHING: frozenset({_A.ATTACHED, _A.RESERVED, _A.ERROR_ATTACHING, _A.DETACHING}),
    _A.ATTACHED: frozenset({_A.DETACHING, _A.ATTACHING}),
    _A.DETACHING: frozenset({_A.DETACHED, _A.ERROR_DETACHING, _A.ATTACHED}),
    _A.DETACHED: frozenset(),
    _A.ERROR_ATTACHING: frozenset({_A.ATTACHING, _A.DETACHING}),
    _A.ERROR_DETACHING: frozenset({_A.DETACHING, _A.ATTACHED}),
}

OPERATION_MOVES: Mapping[OperationState, frozenset[OperationState]] = {
    _O.QUEUED: frozenset({_O.QUEUED, _O.RUNNING, _O.WAITING, _O.FAILED}),
    _O.RUNNING: frozenset({_O.QUEUED, _O.WAITING, _O.UNDOING, _O.SUCCEEDED, _O.FAILED}),
    _O.WAITING: frozenset({_O.QUEUED, _O.RUNNING, _O.UNDOING, _O.FAILED}),
    _O.UNDOING: frozenset({_O.UNDOING, _O.QUEUED, _O.FAILED}),
    _O.SUCCEEDED: frozenset(),
    _O.FAILED: frozenset(),
}

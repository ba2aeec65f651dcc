"""The status of a volume as it follows from the statuses of its attachments."""

from collections.abc import Collection

from volumed.model.states import AttachStatus, VolumeStatus

_A, _V = AttachStatus, VolumeStatus

#: Statuses of a volume that follow from its attachments; no other is overruled by them.
FOLLOWING = frozenset({_V.AVAILABLE, _V.RESERVED, _V.ATTACHING, _V.IN_USE, _V.DETACHING})


def status_of(attach_statuses: Collection[str]) -> VolumeStatus:
    """What a volume is whose attachments have these statuses."""
    statuses = set(attach_statuses)
    if statuses & {_A.ATTACHED, _A.ERROR_DETACHING}:
        return _V.IN_USE
    if _A.DETACHING in statuses:
        return _V.DETACHING
    if _A.ATTACHING in statuses:
        return _V.ATTACHING
    return _V.RESERVED if statuses else _V.AVAILABLE

"""What could be managed, as JSON, and the statuses of what is about to be.

Source of the shown statuses: the Block Storage API hides its ``managing`` and ``error_managing`` from clients, which
wait for ``available`` or ``error``.
"""

from collections.abc import Mapping
from typing import Any, Final

from volumed.model.records import Json
from volumed.model.states import VolumeStatus

_SHOWN: Final[Mapping[str, str]] = {
    VolumeStatus.MANAGING: VolumeStatus.CREATING,
    VolumeStatus.ERROR_MANAGING: VolumeStatus.ERROR,
}


def shown(status: str) -> str:
    """The status of a volume or snapshot as clients know it."""
    return _SHOWN.get(status, status)


def summary(found: Json, resource_type: str) -> dict[str, Any]:
    """What a list without details says."""
    told = {key: found[key] for key in ("reference", "size", "safe_to_manage")}
    return told | ({"source_reference": found["source_reference"]} if resource_type == "snapshot" else {})


def detail(found: Json, resource_type: str) -> dict[str, Any]:
    """All of it."""
    more = {"reason_not_safe": found["reason_not_safe"], "cinder_id": found["id"], "extra_info": found["extra_info"]}
    return summary(found, resource_type) | more

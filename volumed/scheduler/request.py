"""What is to be placed: the part of a create that a placement depends on."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from volumed.model.records import Operation, Volume


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """``size`` in GiB. ``source_host`` is the place of the volume or snapshot that the data comes from."""

    size: int
    availability_zone: str | None = None
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    multiattach: bool = False
    source_host: str | None = None
    #: Storages that earlier attempts failed on, with the error of each.
    tried: Mapping[str, str] = field(default_factory=dict)
    #: Storages where ``host@backend`` has still to remove what an earlier request left of the volume.
    left_behind: Collection[tuple[str, str]] = ()


def request_of(operation: Operation, volume: Volume, left_behind: Collection[tuple[str, str]] = ()) -> PlacementRequest:
    """The request of a ``volume.create``; its size is the row's, which the quota was charged for."""
    arguments = operation.args
    return PlacementRequest(
        size=volume.size,
        availability_zone=arguments.get("availability_zone"),
        extra_specs={str(key): str(wanted) for key, wanted in (arguments.get("extra_specs") or {}).items()},
        multiattach=volume.multiattach,
        source_host=arguments.get("source_host"),
        tried={tried["storage_id"]: error_of(tried) for tried in operation.tried if tried.get("storage_id")},
        left_behind=left_behind,
    )


def error_of(tried: Mapping[str, object]) -> str:
    """The sentence an attempt ended with."""
    error = tried.get("error")
    return str(error.get("message", "")) if isinstance(error, Mapping) else str(error or "")

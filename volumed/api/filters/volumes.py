"""What volumes may be filtered and sorted by, in which microversion."""

from dataclasses import replace
from typing import Any, Final

from volumed.api import microversions, moments, paging
from volumed.api.request import ApiRequest
from volumed.api.schemas.fields import is_true
from volumed.api.settings import Settings
from volumed.db.pages import COMPARISONS, Listing, TimeBound
from volumed.model.errors import Invalid

#: Sort keys with their columns.
SORT_KEYS: Final = {
    "id": "id",
    "name": "name",
    "display_name": "name",
    "status": "status",
    "size": "size",
    "availability_zone": "availability_zone",
    "bootable": "bootable",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "launched_at": "launched_at",
    "host": "host",
    "user_id": "user_id",
    "project_id": "project_id",
    "volume_type_id": "volume_type_id",
}

#: Filters on equality with their columns.
_EQUAL: Final = {
    "name": "name",
    "display_name": "name",
    "status": "status",
    "availability_zone": "availability_zone",
    "id": "id",
    "snapshot_id": "snapshot_id",
    "source_volid": "source_volid",
    "volume_type_id": "volume_type_id",
    "user_id": "user_id",
}
#: Filters on a part of the text, ``name~`` and the like.
_LIKE: Final = {"name~": "name", "display_name~": "name", "description~": "description", "status~": "status"}

#: Of features that this release has not: whoever asks for one finds nothing.
_NOTHING: Final = ("group_id", "consistencygroup_id", "migration_status", "replication_status", "glance_metadata")

_TIMES: Final = ("created_at", "updated_at")

_SPECIAL: Final = ("metadata", "bootable", "multiattach", "size", "host", "project_id", "tenant_id", "consumes_quota")

#: Every filter, as ``/resource_filters`` shows them.
FILTERS: Final = (*_EQUAL, *_LIKE, *_NOTHING, *_TIMES, *_SPECIAL)


def listing(req: ApiRequest, settings: Settings, is_admin: bool) -> Listing:
    """The page that the query asks for. Raises ``Invalid`` for what the microversion does not know."""
    if req.minor >= microversions.FILTERS_CHECKED:
        paging.refuse_unknown(req, _known(req.minor, is_admin))
    project_id = paging.every_project(req, req.caller, is_admin)
    page = paging.listing_of(req, settings, SORT_KEYS, project_id)
    equals = paging.equals(req, _EQUAL) | _special(req, is_admin)
    if any(req.get_param(name) for name in _NOTHING):
        equals["id"] = []
    if is_admin and project_id is None and (wanted := req.get_param("project_id") or req.get_param("tenant_id")):
        page = replace(page, project_id=wanted)
    return replace(
        page,
        equals=equals,
        contains=paging.contains(req, _LIKE) if req.minor >= microversions.LIKE_FILTERS else {},
        begins={"host": host} if is_admin and (host := req.get_param("host")) else {},
        times=_time_bounds(req) if req.minor >= microversions.TIME_FILTERS else (),
        metadata=paging.pairs(req, "metadata"),
    )


def _known(minor: int, is_admin: bool) -> set[str]:
    known = set(FILTERS)
    if minor < microversions.LIKE_FILTERS:
        known -= set(_LIKE)
    if minor < microversions.TIME_FILTERS:
        known -= set(_TIMES)
    if minor < microversions.CONSUMES_QUOTA:
        known -= {"consumes_quota"}
    return known if is_admin else known - {"host"}


def _special(req: ApiRequest, is_admin: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if (bootable := req.get_param("bootable")) is not None:
        found["bootable"] = [_bootable(bootable, req.minor)]
    if (multiattach := req.get_param("multiattach")) is not None:
        found["multiattach"] = [is_true(multiattach.lower())]
    if (size := req.get_param("size")) is not None:
        found["size"] = [int(size)] if size.isascii() and size.isdigit() and len(size) < 10 else []
    if req.minor >= microversions.CONSUMES_QUOTA and (consumes := req.get_param("consumes_quota")) is not None:
        found |= {} if is_true(consumes.lower()) else {"id": []}
    return found


def _bootable(text: str, minor: int) -> bool:
    if minor < microversions.BOOTABLE_FILTER_STRICT:
        return text.lower() != "false"
    if text.lower() not in {"t", "true", "1", "f", "false", "0"}:
        raise Invalid(reason=f"Invalid input received: bootable={text[:40]}")
    return is_true(text.lower())


def _time_bounds(req: ApiRequest) -> list[TimeBound]:
    """``created_at=gt:2026-01-01T00:00:00,lt:...``; without an operator the times must be equal."""
    bounds = []
    for column in _TIMES:
        for part in filter(None, (req.get_param(column) or "").split(",")):
            word, colon, rest = part.partition(":")
            comparison, text = (word, rest) if colon and word in COMPARISONS else ("eq", part)
            bounds.append(TimeBound(column, comparison, moments.read(text, column)))
    return bounds

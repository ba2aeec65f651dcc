"""What snapshots may be filtered and sorted by, in which microversion."""

from dataclasses import replace
from typing import Final

from volumed.api import microversions, paging
from volumed.api.request import ApiRequest
from volumed.api.schemas.fields import is_true
from volumed.api.settings import Settings
from volumed.db.pages import Listing

#: Sort keys with their columns.
SORT_KEYS: Final = {
    "id": "id",
    "name": "name",
    "display_name": "name",
    "status": "status",
    "size": "size",
    "volume_id": "volume_id",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "project_id": "project_id",
}
_EQUAL: Final = {"name": "name", "display_name": "name", "status": "status", "volume_id": "volume_id", "id": "id"}
_LIKE: Final = {"name~": "name", "display_name~": "name", "description~": "description", "status~": "status"}

#: Every filter, as ``/resource_filters`` shows them.
FILTERS: Final = (*_EQUAL, *_LIKE, "metadata", "project_id", "tenant_id", "consumes_quota", "group_snapshot_id")


def listing(req: ApiRequest, settings: Settings, is_admin: bool) -> Listing:
    """The page that the query asks for. Raises ``Invalid`` for what the microversion does not know."""
    if req.minor >= microversions.FILTERS_CHECKED:
        paging.refuse_unknown(req, _known(req.minor))
    keys = dict(SORT_KEYS)
    if req.minor < microversions.SNAPSHOT_SORT_BY_NAME:
        del keys["name"]
    project_id = paging.every_project(req, req.caller, is_admin)
    page = paging.listing_of(req, settings, keys, project_id)
    if is_admin and project_id is None and (wanted := req.get_param("project_id") or req.get_param("tenant_id")):
        page = replace(page, project_id=wanted)
    equals = paging.equals(req, _EQUAL)
    quota = req.get_param("consumes_quota") if req.minor >= microversions.CONSUMES_QUOTA else None
    if (quota is not None and not is_true(quota.lower())) or req.get_param("group_snapshot_id"):
        equals["id"] = []
    return replace(
        page,
        equals=equals,
        contains=paging.contains(req, _LIKE) if req.minor >= microversions.LIKE_FILTERS else {},
        metadata=paging.pairs(req, "metadata") if req.minor >= microversions.SNAPSHOT_METADATA_FILTER else {},
    )


def _known(minor: int) -> set[str]:
    known = set(FILTERS)
    if minor < microversions.LIKE_FILTERS:
        known -= set(_LIKE)
    if minor < microversions.CONSUMES_QUOTA:
        known -= {"consumes_quota"}
    return known

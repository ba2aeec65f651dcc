"""What attachments may be filtered and sorted by."""

from dataclasses import replace
from typing import Final

from volumed.api import microversions, paging
from volumed.api.request import ApiRequest
from volumed.api.settings import Settings
from volumed.db.pages import Listing

#: Sort keys with their columns.
SORT_KEYS: Final = {
    "id": "id",
    "attach_status": "attach_status",
    "status": "attach_status",
    "volume_id": "volume_id",
    "instance_id": "instance_uuid",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "project_id": "project_id",
}
_EQUAL: Final = {
    "volume_id": "volume_id",
    "instance_id": "instance_uuid",
    "attach_status": "attach_status",
    "status": "attach_status",
    "id": "id",
}
_LIKE: Final = {"instance_id~": "instance_uuid", "attach_status~": "attach_status"}

#: Every filter, as ``/resource_filters`` shows them.
FILTERS: Final = (*_EQUAL, *_LIKE, "project_id", "tenant_id")


def listing(req: ApiRequest, settings: Settings, is_admin: bool) -> Listing:
    """The page that the query asks for."""
    if req.minor >= microversions.FILTERS_CHECKED:
        paging.refuse_unknown(req, FILTERS if req.minor >= microversions.LIKE_FILTERS else set(FILTERS) - set(_LIKE))
    project_id = paging.every_project(req, req.caller, is_admin)
    page = paging.listing_of(req, settings, SORT_KEYS, project_id)
    if is_admin and project_id is None and (wanted := req.get_param("project_id") or req.get_param("tenant_id")):
        page = replace(page, project_id=wanted)
    like = paging.contains(req, _LIKE) if req.minor >= microversions.LIKE_FILTERS else {}
    return replace(page, equals=paging.equals(req, _EQUAL), contains=like)

"""The part of a query that says which page of a list in which order, for every list alike."""

import ast
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson

from volumed.api import microversions
from volumed.api.answers import resource_url
from volumed.api.request import ApiRequest
from volumed.api.schemas.fields import is_true
from volumed.api.settings import Settings
from volumed.db.pages import Listing
from volumed.model.context import RequestContext
from volumed.model.errors import Invalid

#: Parameters that say which page, and are no filters.
PARAMETERS = frozenset({"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "all_tenants", "with_count"})

#: The order when none is asked.
NEWEST_FIRST = (("created_at", True),)

#: The largest offset; behind it a page is asked for by its marker.
MAX_OFFSET = 2**31 - 1


def listing_of(req: ApiRequest, settings: Settings, columns: Mapping[str, str], project_id: str | None) -> Listing:
    """The page that the query asks for. ``columns``: the sort keys that there are, with their columns."""
    limit = _number(req, "limit", settings.max_limit)
    return Listing(
        project_id=project_id,
        limit=min(limit, settings.max_limit),
        sort=_order(req, columns),
        marker=req.get_param("marker") or None,
        offset=_number(req, "offset", 0),
    )


def more_than(listing: Listing) -> Listing:
    """The same page with one row more, which tells whether another page follows."""
    return replace(listing, limit=listing.limit + 1)


def next_link(
    req: ApiRequest, settings: Settings, collection: str, found: Sequence[Any], listing: Listing, last_id: str
) -> list[dict[str, str]]:
    """The link to the page behind ``last_id``; none where ``found`` (asked by ``more_than``) shows no more."""
    if len(found) <= listing.limit:
        return []
    query = {name: value for name, value in req.params.items() if name not in {"marker", "offset"}}
    query |= {"limit": str(listing.limit), "marker": last_id}
    url = resource_url(req, settings, collection)
    return [{"rel": "next", "href": f"{url}?{urlencode(query, doseq=True)}"}]


def every_project(req: ApiRequest, caller: RequestContext, allowed: bool) -> str | None:
    """The project whose things are listed; None, all of them, when that is asked for and allowed."""
    asked = req.get_param("all_tenants", default="0").lower() not in {"0", "false", "f", "no", "off"}
    return None if asked and allowed else caller.project_id


def refuse_unknown(req: ApiRequest, known: Collection[str]) -> None:
    """Refuse filters that there are not."""
    unknown = sorted(req.params.keys() - PARAMETERS - set(known))
    if unknown:
        raise Invalid(reason=f"Invalid filters {', '.join(unknown)[:200]} are found in query options.")


def equals(req: ApiRequest, columns: Mapping[str, str]) -> dict[str, Any]:
    """The filters on equality in the query, by column."""
    return {columns[name]: [value] for name in columns if (value := req.get_param(name)) is not None}


def contains(req: ApiRequest, columns: Mapping[str, str]) -> dict[str, str]:
    """The filters on a part of the text in the query, by column."""
    return {columns[name]: value for name in columns if (value := req.get_param(name)) is not None}


def pairs(req: ApiRequest, name: str) -> dict[str, str]:
    """The filter ``name`` on pairs: an object as JSON or, as older clients write it, as Python does."""
    text = req.get_param(name)
    if text is None:
        return {}
    try:
        found = ast.literal_eval(text) if "'" in text else orjson.loads(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(_is_plain(key) and _is_plain(value) for key, value in found.items()):
        raise Invalid(reason=f"Invalid input received: {name} must be an object of texts.")
    return found


def _is_plain(text: Any) -> bool:
    """What may stand in a path of every database's JSON functions."""
    return isinstance(text, str) and not set(text) & {'"', "\\", "\0"}


def wants_count(req: ApiRequest) -> bool:
    """Whether the query asks how many there are."""
    return req.minor >= microversions.COUNT and is_true(req.get_param("with_count", default="false").lower())


def _number(req: ApiRequest, name: str, default: int) -> int:
    text = req.get_param(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) > MAX_OFFSET:
        raise Invalid(reason=f"{name} must be an integer from 0 to {MAX_OFFSET}")
    return int(text)


def _order(req: ApiRequest, columns: Mapping[str, str]) -> tuple[tuple[str, bool], ...]:
    asked = req.get_param("sort")
    if asked is not None:
        pairs = [part.partition(":")[::2] for part in asked.split(",")]
    else:
        keys = (req.get_param("sort_key") or "").split(",")
        directions = (req.get_param("sort_dir") or "").split(",")
        pairs = [
            (key, directions[place] if place < len(directions) else directions[0]) for place, key in enumerate(keys)
        ]
    return tuple((_column(key.strip(), columns), _descends(way.strip())) for key, way in pairs if key.strip()) or (
        NEWEST_FIRST
    )


def _column(key: str, columns: Mapping[str, str]) -> str:
    if key not in columns:
        raise Invalid(reason=f"Invalid input received: Sort key supplied is invalid: {key[:40]!r}")
    return columns[key]


def _descends(direction: str) -> bool:
    if direction not in {"", "asc", "desc"}:
        raise Invalid(reason=f"Invalid input received: Unknown sort direction {direction[:40]!r}, must be asc or desc.")
    return direction != "asc"

"""Events of all resources: page by page, or as a stream that goes on. Not part of OpenStack's API."""

from typing import Any, Final
from urllib.parse import urlencode

import falcon

from volumed.api import answers, paging, streams
from volumed.api.policies import events as policies
from volumed.api.policies import volumes as volume_policies
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier
from volumed.api.views import events as views
from volumed.db.events import Wanted
from volumed.model.errors import Invalid
from volumed.operations.feed import refuse_gone

_PARAMETERS: Final = frozenset({"limit", "after", "all_tenants", "resource_id", "event_type"})

#: Digits of a position: what every database's BIGINT holds.
_MOST_DIGITS: Final = 18

#: A proxy must neither keep a stream nor wait for its end (``X-Accel-Buffering`` is nginx's word for that).
_LIVE_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Events:
    """See the module."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        tier = self._tier
        tier.policy.enforce(req.caller, policies.GET_ALL)
        if unknown := sorted(req.params.keys() - _PARAMETERS):
            raise Invalid(reason=f"Invalid filters {', '.join(unknown)[:200]} are found in query options.")
        wanted = Wanted(
            paging.every_project(req, req.caller, tier.policy.allows(req.caller, policies.ALL_PROJECTS)),
            req.get_param("resource_id"),
            req.get_param("event_type"),
        )
        shows_host = tier.policy.allows(req.caller, volume_policies.HOST)
        if req.client_prefers((falcon.MEDIA_JSON, streams.MEDIA_TYPE)) == streams.MEDIA_TYPE:
            self._follow(req, resp, wanted, shows_host)
        else:
            self._page(req, resp, wanted, shows_host)

    def _follow(self, req: ApiRequest, resp: falcon.Response, wanted: Wanted, shows_host: bool) -> None:
        found, asked = self._tier.feed.positions(), _position(req)
        position = found.last if asked is None else asked
        refuse_gone(position, found)
        resp.stream = self._tier.streams.open(wanted, position, shows_host)
        resp.content_type = streams.MEDIA_TYPE
        resp.set_headers(_LIVE_HEADERS)

    def _page(self, req: ApiRequest, resp: falcon.Response, wanted: Wanted, shows_host: bool) -> None:
        limit = min(_number(req, "limit", self._tier.settings.max_limit), self._tier.settings.max_limit)
        last = self._tier.feed.positions().last
        found, position = self._tier.feed.page(wanted, _position(req), last, limit)
        body: dict[str, Any] = {"events": [views.event(each, shows_host) for each in found], "position": position}
        if position < last:
            query = {**req.params, "limit": str(limit), "after": str(position)}
            url = answers.resource_url(req, self._tier.settings, "events")
            body["events_links"] = [{"rel": "next", "href": f"{url}?{urlencode(query, doseq=True)}"}]
        answers.send(resp, body)


def _position(req: ApiRequest) -> int | None:
    """Where to go on: a client that connects again repeats its query, so the header is the newer one."""
    text = req.get_header("Last-Event-ID")
    return _digits(text, "Last-Event-ID") if text else _number(req, "after", None)


def _number(req: ApiRequest, name: str, default: Any) -> Any:
    text = req.get_param(name)
    return default if text is None else _digits(text, name)


def _digits(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise Invalid(reason=f"Invalid input received: {name} must be a number of at most {_MOST_DIGITS} digits.")
    return int(text)

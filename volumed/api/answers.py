"""Answers in JSON, and the links that OpenStack puts into them."""

from typing import Any

import falcon
import orjson

from volumed.api.request import ApiRequest
from volumed.api.settings import Settings

#: Names the operation that an accepted request became.
OPERATION_HEADER = "Volumed-Operation-Id"


def send(resp: falcon.Response, body: Any, status: int = 200) -> None:
    """Answer with ``body``."""
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = orjson.dumps(body)


def accepted(resp: falcon.Response, operation_id: str | None, body: Any = None) -> None:
    """Answer 202; the operation goes on."""
    resp.status = 202
    if operation_id is not None:
        resp.set_header(OPERATION_HEADER, operation_id)
    if body is not None:
        send(resp, body, 202)


def base_url(req: ApiRequest, settings: Settings) -> str:
    """The URL under which this client reaches the service, without ``/v3``."""
    return (settings.public_endpoint or req.prefix).rstrip("/")


def resource_url(req: ApiRequest, settings: Settings, collection: str) -> str:
    """The URL of a collection as this client writes it: with the project where the request's path has one."""
    project = f"/{req.path_project}" if req.path_project is not None else ""
    return f"{base_url(req, settings)}/v3{project}/{collection}"


def links(collection_url: str, resource_id: str) -> list[dict[str, str]]:
    """A resource's links."""
    url = f"{collection_url}/{resource_id}"
    return [{"rel": "self", "href": url}, {"rel": "bookmark", "href": url.replace("/v3/", "/", 1)}]

"""The catalogue as an OpenAPI 3.1 document: how a client program is told what there is.

The same on every machine; knows neither the configuration nor who asks.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

import orjson

from volumed.api import idempotency, microversions
from volumed.api.answers import OPERATION_HEADER
from volumed.api.openapi import endpoint as parts
from volumed.api.openapi.answers import COMPONENTS
from volumed.api.openapi.catalogue import catalogue
from volumed.api.openapi.endpoint import Endpoint
from volumed.api.openapi.words import TEXT

ABOUT: Final = """\
The OpenStack Block Storage API, version 3, with what volumed has beyond it: operations, timelines, placements.

Every path below `/v3` is also there with the project's id, as `/v3/{project_id}/volumes`. An accepted
request always ends in a declared state; the header `Volumed-Operation-Id` names the operation that says which.
"""


def document() -> dict[str, Any]:
    """The document as plain values."""
    paths: dict[str, dict[str, Any]] = {}
    for each in catalogue():
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    told = {
        "openapi": "3.1.0",
        "info": {
            "title": "volumed",
            "version": version("volumed"),
            "summary": f"Block Storage API 3.0 to {microversions.spelled(microversions.MAXIMUM)}",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "parameters": {parameter["name"]: parameter for parameter in parts.SHARED},
            "headers": parts.ANSWER_HEADERS,
            "responses": {f"Error{code}": _error(code) for code in _ERRORS},
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
    }
    plain: dict[str, Any] = orjson.loads(orjson.dumps(_published(told)))
    return plain


_ERRORS: Final = (400, 401, 403, 404, 405, 406, 409, 410, 412, 413, 422, 429, 500, 503)


def _operation(each: Endpoint) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": _name(each),
        "summary": each.summary,
        "tags": [each.tag],
        "parameters": [_shared(parameter) for parameter in (*_in_path(each), *each.queries, *_headers(each))],
        "responses": {str(code): response for code, response in _responses(each)},
    }
    if each.body is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": each.body}}}
    if each.is_open:
        told["security"] = []
    if each.since:
        told["x-openstack"] = {"min-ver": microversions.spelled(each.since)}
    return told


def _name(each: Endpoint) -> str:
    words = [word.strip("{}").replace(".", "-") for word in each.path.removeprefix("/v3").split("/") if word]
    if not words:
        words = ["v3" if each.path == "/v3" else "versions"]
    return "-".join((each.method.lower(), *words))


def _in_path(each: Endpoint) -> Iterator[Mapping[str, Any]]:
    for word in each.path.split("/"):
        if word.startswith("{"):
            name = word.strip("{}")
            schema = each.values.get(name, {"type": "string", "minLength": 1})
            yield {"name": name, "in": "path", "required": True, "schema": schema}


def _headers(each: Endpoint) -> Iterator[Mapping[str, Any]]:
    if each.path.startswith("/v3"):
        yield parts.VERSION
        yield parts.REQUEST_ID
    if each.streams:
        yield parts.LAST_EVENT
    if each.keyed:
        yield parts.KEY
    if each.tagged and each.body is not None:
        yield parts.IF_MATCH


def _shared(parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    """A reference to a parameter that many have."""
    return {"$ref": f"#/components/parameters/{parameter['name']}"} if parameter in parts.SHARED else parameter


def _responses(each: Endpoint) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for code, schema in each.answers.items():
        yield code, _answer(each, code, schema)
    refusals = {400, 406, 503} if each.is_open else {*parts.REFUSALS, *each.refusals}
    refusals |= {413} if each.body is not None else set()
    refusals |= set(parts.KEY_REFUSALS) if each.keyed else set()
    for code in sorted(refusals - set(each.answers)):
        yield code, {"$ref": f"#/components/responses/Error{code}"}


def _answer(each: Endpoint, code: int, schema: Any) -> dict[str, Any]:
    headers = {"x-openstack-request-id": _header("RequestId")}
    if each.path.startswith("/v3"):
        headers[microversions.HEADER] = _header("Version")
    if each.operates:
        headers[OPERATION_HEADER] = _header("Operation")
    if each.keyed:
        headers[idempotency.REPLAYED_HEADER] = _header("Replayed")
    if each.tagged:
        headers["ETag"] = _header("Tag")
    told: dict[str, Any] = {"description": HTTPStatus(code).phrase, "headers": headers}
    if schema is None:
        return told
    return told | {"content": {each.media: {"schema": schema}, **{media: {"schema": TEXT} for media in each.streams}}}


def _error(code: int) -> dict[str, Any]:
    headers = {"x-openstack-request-id": _header("RequestId"), OPERATION_HEADER: _header("Operation")}
    if code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers["Retry-After"] = _header("RetryAfter")
    if code == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _header("Challenge")
    return {
        "description": HTTPStatus(code).phrase,
        "headers": headers,
        "content": {"application/json": {"schema": parts.ERROR}},
    }


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _published(value: Any) -> Any:
    """The same in the words of OpenAPI: a ``reason`` describes, a pattern ends with ``$`` instead of Python's end."""
    if isinstance(value, Mapping):
        return dict(_word(key, inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return [_published(inner) for inner in value]
    return value


def _word(key: str, value: Any) -> tuple[str, Any]:
    """A word of a schema has a text; a field of the same name has a schema."""
    if key == "reason" and isinstance(value, str):
        return "description", value
    if key == "pattern" and isinstance(value, str):
        return key, value.replace(r"\Z", "$")
    return key, _published(value)

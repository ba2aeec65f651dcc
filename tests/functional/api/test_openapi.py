"""The published document is complete, is what OpenAPI says it must be, and costs nothing until somebody asks for it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.functional.api.stage import Api
from tests.lab.published import Published, Undeclared, published

ROOT = Path(__file__).parents[3]


def test_every_method_of_every_route_is_published_and_no_other(api: Api) -> None:
    served = {
        (method.lower(), node.uri_template)
        for node in _nodes(api)
        for method, responder in node.method_map.items()
        if responder.__name__.startswith("on_") and method != "OPTIONS"
    }
    told = api.get("/v3/openapi.json")
    assert served == {(method, path) for path, methods in told["paths"].items() for method in methods}


def test_it_is_a_document_of_openapi_and_asks_nobody_who_he_is(api: Api) -> None:
    from schemathesis import openapi

    stranger = api.as_user("")
    told = stranger.get("/v3/openapi.json")
    openapi.from_dict(told).validate()
    names = [each["operationId"] for methods in told["paths"].values() for each in methods.values()]
    assert len(names) == len(set(names))
    assert stranger.ask("GET", "/v3/volumes").status_code == 401


def test_what_is_not_declared_is_found() -> None:
    judge, headers = published(), {"x-openstack-request-id": "req-1", "OpenStack-API-Version": "volume 3.0"}
    error = {"itemNotFound": {"code": 404, "message": "gone"}}
    judge.judge("GET", "/v3/volumes/x", 404, headers, error)
    judge.judge("GET", "/v3/nowhere", 404, headers, error)
    judge.judge("PATCH", "/v3/volumes", 405, headers, {"badMethod": {"code": 405, "message": "no"}})
    for method, path, status, body in (
        ("GET", "/v3/volumes/x", 500, error),
        ("GET", "/v3/volumes/x", 404, {"error": "gone"}),
        ("GET", "/v3/volumes", 200, {"volumes": [], "more": 1}),
        ("GET", "/v3/nowhere", 200, None),
        ("GET", "/v3/volumes", 503, {"serviceUnavailable": {"code": 503, "message": "away"}}),
        ("DELETE", "/v3/volumes/x", 202, {}),
    ):
        with pytest.raises(Undeclared):
            judge.judge(method, path, status, headers, body)


def test_a_strict_schema_is_strict_everywhere() -> None:
    """An answer's object says of each other field what it may be, but where others decide what is in it."""
    from volumed.api.openapi import answers

    open_ones: list[str] = []

    def look(place: str, schema: Any) -> None:
        if isinstance(schema, dict):
            if schema.get("type") == "object" and schema.get("additionalProperties") is None:
                open_ones.append(place)
            for key, inner in schema.items():
                look(f"{place}/{key}", inner)
        elif isinstance(schema, list):
            for inner in schema:
                look(place, inner)

    for name, schema in answers.COMPONENTS.items():
        look(name, schema)
    assert {place.rpartition("/")[2] for place in open_ones} == {
        "connection_info",
        "args",
        "items",
        "progress",
        "payload",
    }


def test_a_server_that_nobody_asks_has_not_loaded_it() -> None:
    code = "import sys, volumed.api.app; sys.exit(any(name.startswith('volumed.api.openapi') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_it_is_the_same_each_time() -> None:
    from volumed.api.openapi.document import document

    assert document() == document()
    assert Published(document()).template("/v3/volumes/detail") == "/v3/volumes/detail"


def _nodes(api: Api) -> list[Any]:
    router = api._client.app._router
    found, waiting = [], list(router._roots)
    while waiting:
        node = waiting.pop()
        waiting += node.children
        if node.method_map:
            found.append(node)
    return found

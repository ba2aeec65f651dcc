"""The published OpenAPI document as a judge: is this an answer that it says there may be?

Knows the document and JSON Schema; knows nothing of how an answer came about.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from volumed.api.openapi.document import document

_ROOT = "volumed:openapi"
_JSON = "application/json"

#: What the framework answers by itself on every path.
_OF_EVERY_PATH = ("OPTIONS",)


class Undeclared(AssertionError):
    """The service has answered what it does not say that it may answer."""


class Published:
    """The document, looked up by method and path as a client writes them."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._document = told
        self._registry: Registry[Any] = Registry().with_resource(
            _ROOT, Resource(contents=dict(told), specification=DRAFT202012)
        )
        self._paths = sorted(((_pattern(path), path) for path in told["paths"]), key=lambda found: "{" in found[1])
        self._validators: dict[str, Validator] = {}

    def judge(self, method: str, path: str, status: int, headers: Mapping[str, str], body: Any) -> None:
        """Raise ``Undeclared`` unless the document has this answer. ``body`` is parsed JSON, or None without one."""
        said = f"{method} {path} was answered with {status} {body!r:.2000}"
        template = self.template(path)
        operation = None if template is None else self._document["paths"][template].get(method.lower())
        if operation is None:
            self._judge_unknown(said, method, status, body)
            return
        declared = operation["responses"].get(str(status))
        if declared is None:
            raise Undeclared(f"{said}: this code is not declared for {template}")
        name = f"/paths/{_pointer(str(template))}/{method.lower()}/responses/{status}"
        self._judge_headers(said, self._resolved(declared), headers)
        if body is None and _media_type(headers) in set(self._resolved(declared).get("content", {})) - {_JSON}:
            return
        self._judge_body(said, name, declared, body)

    @property
    def paths(self) -> list[str]:
        """Every path of the document."""
        return list(self._document["paths"])

    def template(self, path: str) -> str | None:
        """The path of the document that ``path`` is one of."""
        return next((template for pattern, template in self._paths if pattern.fullmatch(path.rstrip("/") or "/")), None)

    def _judge_unknown(self, said: str, method: str, status: int, body: Any) -> None:
        """A path or method that is not in the document must be refused in OpenStack's form."""
        if method in _OF_EVERY_PATH and status in {200, 204}:
            return
        if not 400 <= status < 500:
            raise Undeclared(f"{said}: neither this path nor this method is declared")
        if body is not None:
            self._check(said, "/components/schemas/Error", body)

    def _judge_headers(self, said: str, declared: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        present = {name.lower(): value for name, value in headers.items()}
        for name, reference in declared["headers"].items():
            header = self._resolved(reference)
            if name.lower() not in present and header.get("required"):
                raise Undeclared(f"{said}: it lacks the header {name}")

    def _judge_body(self, said: str, name: str, declared: Mapping[str, Any], body: Any) -> None:
        content = self._resolved(declared).get("content", {})
        if not content and body is not None:
            raise Undeclared(f"{said}: no body is declared")
        if _JSON not in content:
            return
        pointer = f"{name}/content/application~1json/schema"
        self._check(said, "/components/schemas/Error" if "$ref" in declared else pointer, body)

    def _check(self, said: str, pointer: str, body: Any) -> None:
        error = next(self._validator(pointer).iter_errors(body), None)
        if error is not None:
            place = "/".join(map(str, error.absolute_path))
            raise Undeclared(f"{said}: {place or 'the body'}: {error.message:.500}")

    def _validator(self, pointer: str) -> Validator:
        if pointer not in self._validators:
            schema = {"$ref": f"{_ROOT}#{pointer}"}
            self._validators[pointer] = Draft202012Validator(schema, registry=self._registry)
        return self._validators[pointer]

    def _resolved(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in part:
            return part
        found: Any = self._document
        for word in part["$ref"].removeprefix("#/").split("/"):
            found = found[word]
        return dict(found)


@functools.cache
def published() -> Published:
    """The judge of this release's document."""
    return Published(document())


def _media_type(headers: Mapping[str, str]) -> str:
    found = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    return found.partition(";")[0].strip()


def _pattern(path: str) -> re.Pattern[str]:
    words = ["[^/]+" if word.startswith("{") else re.escape(word) for word in path.split("/")]
    return re.compile("/".join(words))


def _pointer(path: str) -> str:
    """The path as a word of a JSON pointer within a URI (RFC 6901)."""
    return path.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")

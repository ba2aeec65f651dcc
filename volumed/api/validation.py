"""Checks bodies against the schemas in ``schemas``: each compiled once, with the first body that meets it.

Source: JSON Schema 2020-12; an integer is a JSON number without a fraction part, never ``true`` and never ``1.0``.
"""

import functools
from collections.abc import Mapping
from typing import Any

import orjson

from volumed.api.request import ApiRequest
from volumed.model.errors import Invalid, InvalidField

#: Objects and lists within each other in a body. orjson reads more than it writes, and what is kept is shown again.
DEEPEST = 32

#: Characters of a refused value that are repeated to the client.
SHOWN = 120


class BodySchema:
    """One kind of body. A schema's own word ``reason`` is what a client is told when a value does not fit."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        #: As JSON Schema, for whoever publishes it.
        self.schema = schema

    @functools.cached_property
    def _validator(self) -> Any:
        from jsonschema import Draft202012Validator, validators

        integers = Draft202012Validator.TYPE_CHECKER.redefine(
            "integer", lambda checker, value: isinstance(value, int) and not isinstance(value, bool)
        )
        extend: Any = validators.extend
        return extend(Draft202012Validator, type_checker=integers)(self.schema)

    def read(self, req: ApiRequest) -> dict[str, Any]:
        """The request's body. Raises ``InvalidField`` naming the field and what it must be."""
        return self.check(parsed(req))

    def check(self, body: Any) -> dict[str, Any]:
        """The body as it is, when it is right."""
        error = next(self._validator.iter_errors(body), None)
        if error is not None:
            raise InvalidField(field=_field(error), reason=_reason(error))
        checked: dict[str, Any] = body
        return checked


def parsed(req: ApiRequest) -> Any:
    """The body as JSON. Raises ``Invalid`` when it is none."""
    try:
        body = orjson.loads(req.body)
    except orjson.JSONDecodeError as error:
        raise Invalid(reason=f"The body is not JSON in UTF-8: {error}") from None
    if _is_deeper(body, DEEPEST):
        raise Invalid(reason=f"The body is nested deeper than {DEEPEST} levels.")
    return body


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)


def _field(error: Any) -> str:
    return "/".join(str(part) for part in error.absolute_path) or "body"


def _reason(error: Any) -> str:
    if "reason" in error.schema:  # the schema's own words, where a pattern would tell nobody anything
        return f"{shown(error.instance)} {error.schema['reason']}"
    message: str = error.message
    return message if len(message) <= SHOWN * 2 else f"{message[:SHOWN]} ... {message[-SHOWN:]}"


def shown(value: Any) -> str:
    """A refused value, shortened, without control characters."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

"""Fields that several bodies have, and the shape of a body around them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Schema = Mapping[str, Any]

NAME: Final[Schema] = {
    "type": ["string", "null"],
    "maxLength": 255,
    "pattern": r"^[^\x00-\x1f\x7f]*\Z",
    "reason": "must be text of at most 255 characters, without control characters",
}
#: A name that a thing cannot do without.
REQUIRED_NAME: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*\Z",
    "reason": "must be text of 1 to 255 characters, not blank, without control characters",
}
DESCRIPTION: Final[Schema] = {
    "type": ["string", "null"],
    "maxLength": 255,
    "pattern": r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*\Z",
    "reason": "must be text of at most 255 characters, without control characters other than line ends and tabs",
}
UUID: Final[Schema] = {
    "type": "string",
    "pattern": r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z",
    "maxLength": 36,
    "reason": "must be a UUID",
}
#: Whole GiB; OpenStack's clients also send the number as text. How large it may be is the configuration's to say.
SIZE: Final[Schema] = {
    "type": ["integer", "string"],
    "minimum": 1,
    "pattern": r"^0*[1-9][0-9]{0,17}\Z",
    "maxLength": 20,
    "reason": "must be a whole number of GiB, at least 1",
}
METADATA: Final[Schema] = {
    "type": "object",
    "maxProperties": 128,
    "propertyNames": {
        "minLength": 1,
        "maxLength": 255,
        "pattern": r"^[^\x00-\x1f\x7f]*\Z",
        "reason": "must be a key of 1 to 255 characters, without control characters",
    },
    "additionalProperties": {
        "type": "string",
        "maxLength": 255,
        "pattern": r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*\Z",
        "reason": "must be text of at most 255 characters, without control characters",
    },
}
#: The ways in which OpenStack's clients say yes or no.
BOOLEAN: Final[Schema] = {
    "enum": [
        *(True, False, "true", "false", "True", "False", "TRUE", "FALSE", "1", "0"),
        *("t", "f", "yes", "no", "on", "off", "y", "n"),
    ],
    "reason": "must be true or false",
}
#: A field that is known, and of which nothing can be had here.
NULL: Final[Schema] = {"type": "null"}
_TRUE: Final = frozenset({True, "true", "True", "TRUE", "1", "t", "yes", "on", "y"})


def is_true(value: Any) -> bool:
    """What a ``BOOLEAN`` says; None says no."""
    return value is not None and value in _TRUE


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    types = schema["type"]
    return {**schema, "type": [*([types] if isinstance(types, str) else types), "null"]}


def body(key: str, properties: Mapping[str, Schema], required: Sequence[str] = (), **more: Any) -> Schema:
    """``{key: {properties}}`` and nothing else. ``more`` are further words of the inner schema."""
    inner = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
        **more,
    }
    return {"type": "object", "properties": {key: inner}, "required": [key], "additionalProperties": False}

"""The few words that the published schemas of answers are made of.

Knows JSON Schema 2020-12, which OpenAPI 3.1 speaks; knows no resource.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
NULL: Final[Schema] = {"type": "null"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
#: A limit; -1 is none.
LIMIT: Final[Schema] = {"type": "integer", "minimum": -1}
UUID: Final[Schema] = {"type": "string", "format": "uuid", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
#: UTC, without a zone, as OpenStack writes it.
TIME: Final[Schema] = {"type": "string", "pattern": r"^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}\.[0-9]{6}$"}
#: Whatever a backend, a client or a driver has put there.
ANYTHING: Final[Schema] = {"type": "object"}
TEXTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def only(key: str, schema: Schema) -> Schema:
    """``{key: schema}``, the form of most bodies."""
    return record({key: schema})


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    kind = schema.get("type")
    return {**schema, "type": [kind, "null"]} if isinstance(kind, str) else {"anyOf": [schema, NULL]}


def one_of(words: Collection[str]) -> Schema:
    """One of these texts."""
    return {"type": "string", "enum": [str(word) for word in words]}


def list_of(items: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": items}


def since(minor: int, schema: Schema) -> Schema:
    """A field that there is since microversion 3.``minor``."""
    return {**schema, "x-openstack": {"min-ver": f"3.{minor}"}}


def named(name: str) -> Schema:
    """The schema that stands under ``name`` in the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}

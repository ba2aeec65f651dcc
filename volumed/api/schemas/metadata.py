"""Bodies of metadata, of volumes and snapshots alike."""

from typing import Final

from volumed.api.schemas import fields
from volumed.api.validation import BodySchema


def _around(key: str, inner: fields.Schema) -> BodySchema:
    return BodySchema({"type": "object", "properties": {key: inner}, "required": [key], "additionalProperties": False})


ALL: Final = _around("metadata", fields.METADATA)
ONE: Final = _around("meta", {**fields.METADATA, "minProperties": 1, "maxProperties": 1})

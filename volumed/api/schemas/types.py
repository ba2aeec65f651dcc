"""Bodies of volume types. A name is shorter than others: the quota of a type is named after it."""

from typing import Final

from volumed.api.schemas import fields
from volumed.api.validation import BodySchema

_NAME: Final[fields.Schema] = {
    **fields.REQUIRED_NAME,
    "maxLength": 240,
    "reason": "must be text of 1 to 240 characters, not blank, without control characters",
}
_SPECS: Final[fields.Schema] = {
    "type": "object",
    "maxProperties": 128,
    "propertyNames": {
        "pattern": r"^[a-zA-Z0-9\-_:. ]{1,255}\Z",
        "reason": "must be a key of 1 to 255 letters, digits, spaces and -_:.",
    },
    "additionalProperties": {
        "type": "string",
        "maxLength": 255,
        "pattern": r"^[^\x00-\x1f\x7f]*\Z",
        "reason": "must be text of at most 255 characters, without control characters",
    },
}
_PUBLIC: Final = {"anyOf": [fields.BOOLEAN, fields.NULL]}

CREATE: Final = BodySchema(
    fields.body(
        "volume_type",
        {
            "name": _NAME,
            "description": fields.DESCRIPTION,
            "extra_specs": fields.or_null(_SPECS),
            "is_public": _PUBLIC,
            "os-volume-type-access:is_public": _PUBLIC,
        },
        required=("name",),
    )
)
UPDATE: Final = BodySchema(
    fields.body(
        "volume_type",
        {"name": fields.or_null(_NAME), "description": fields.DESCRIPTION, "is_public": _PUBLIC},
        minProperties=1,
    )
)
SPECS: Final = BodySchema(
    {
        "type": "object",
        "properties": {"extra_specs": _SPECS},
        "required": ["extra_specs"],
        "additionalProperties": False,
    }
)
SPEC: Final = BodySchema({**_SPECS, "minProperties": 1, "maxProperties": 1})

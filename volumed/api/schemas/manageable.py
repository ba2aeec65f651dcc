"""Bodies of what asks to manage what others made."""

from typing import Final

from volumed.api.schemas import fields
from volumed.api.validation import BodySchema

_TEXT: Final[fields.Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^[^\x00-\x1f\x7f]*\Z",
    "reason": "must be text of 1 to 255 characters, without control characters",
}

#: What a driver calls a thing; text alone is its ``source-name``.
_REFERENCE: Final[fields.Schema] = {
    "anyOf": [
        _TEXT,
        {"type": "object", "minProperties": 1, "maxProperties": 8, "additionalProperties": _TEXT},
    ]
}

_VOLUME: Final = {
    "host": fields.REQUIRED_NAME,
    "ref": _REFERENCE,
    "name": fields.NAME,
    "description": fields.DESCRIPTION,
    "volume_type": fields.NAME,
    "availability_zone": fields.NAME,
    "metadata": fields.or_null(fields.METADATA),
    "bootable": {"anyOf": [fields.BOOLEAN, fields.NULL]},
    # Known since microversion 3.16; there are no clusters here.
    "cluster": fields.NULL,
}
VOLUME: Final = BodySchema(fields.body("volume", _VOLUME, required=("host", "ref")))

_SNAPSHOT: Final = {
    "volume_id": fields.UUID,
    "ref": _REFERENCE,
    "name": fields.NAME,
    "description": fields.DESCRIPTION,
    "metadata": fields.or_null(fields.METADATA),
}
SNAPSHOT: Final = BodySchema(fields.body("snapshot", _SNAPSHOT, required=("volume_id", "ref")))

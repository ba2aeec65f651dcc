"""Bodies of services. Older clients say ``service`` where newer ones say ``binary``."""

from typing import Final

from volumed.api.schemas import fields
from volumed.api.validation import BodySchema

_NAMED = {"host": fields.REQUIRED_NAME, "binary": fields.NAME, "service": fields.NAME}

UPDATE: Final = BodySchema(
    {
        "type": "object",
        "properties": {**_NAMED, "disabled_reason": fields.NAME},
        "required": ["host"],
        "additionalProperties": False,
    }
)
DISABLE_WITH_REASON: Final = BodySchema(
    {
        "type": "object",
        "properties": {**_NAMED, "disabled_reason": fields.REQUIRED_NAME},
        "required": ["host", "disabled_reason"],
        "additionalProperties": False,
    }
)

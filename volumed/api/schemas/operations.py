"""Bodies of the actions on an operation."""

from typing import Any, Final

from volumed.api.validation import BodySchema

_NOTHING: Final[dict[str, Any]] = {"type": ["object", "null"], "additionalProperties": False}

ACTION: Final = BodySchema(
    {
        "type": "object",
        "properties": {"cancel": _NOTHING, "retry": _NOTHING},
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "reason": "must have one key, cancel or retry",
    }
)

"""Bodies of the doctor: one finding by its id, or all."""

from typing import Final

from volumed.api.validation import BodySchema

REPAIR: Final = BodySchema(
    {
        "type": "object",
        "properties": {
            "repair": {
                "type": "object",
                "properties": {
                    "finding": {
                        "type": "string",
                        "pattern": r"^[0-9a-f]{16}\Z",
                        "reason": "must be the id of a finding, 16 hexadecimal digits",
                    },
                    "all": {"const": True, "reason": "must be true"},
                },
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
            }
        },
        "required": ["repair"],
        "additionalProperties": False,
    }
)

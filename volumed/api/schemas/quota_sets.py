"""Bodies of quotas: a limit for each resource that is named; -1 is none."""

from typing import Any, Final

from volumed.api.validation import BodySchema

_LIMIT: Final = {
    "type": ["integer", "string"],
    "minimum": -1,
    "maximum": 2**31 - 1,
    "pattern": r"^(-1|[0-9]{1,9})\Z",
    "reason": "must be an integer from -1 (unlimited) to 2147483647",
}


def _limits(key: str) -> BodySchema:
    inner: dict[str, Any] = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1000,
        # Clients repeat whom it is for; that is said by the path.
        "properties": {"tenant_id": {}, "project_id": {}, "class_name": {}, "id": {}, "force": {}},
        "additionalProperties": {"anyOf": [_LIMIT, {"type": "null"}], "reason": _LIMIT["reason"]},
    }
    return BodySchema({"type": "object", "properties": {key: inner}, "required": [key], "additionalProperties": False})


UPDATE: Final = _limits("quota_set")
UPDATE_CLASS: Final = _limits("quota_class_set")

"""Bodies of snapshots."""

from typing import Final

from volumed.api.schemas import fields
from volumed.api.validation import BodySchema
from volumed.model.states import SnapshotStatus

_NAMES = {
    "name": fields.NAME,
    "display_name": fields.NAME,
    "description": fields.DESCRIPTION,
    "display_description": fields.DESCRIPTION,
}

CREATE: Final = BodySchema(
    fields.body(
        "snapshot",
        {
            **_NAMES,
            "volume_id": fields.UUID,
            "force": {"anyOf": [fields.BOOLEAN, fields.NULL]},
            "metadata": fields.or_null(fields.METADATA),
        },
        required=("volume_id",),
    )
)
UPDATE: Final = BodySchema(fields.body("snapshot", _NAMES))

_RESET: Final = BodySchema(
    fields.body(
        "os-reset_status",
        {"status": {"enum": [SnapshotStatus.AVAILABLE, SnapshotStatus.ERROR], "reason": "must be available or error"}},
        required=("status",),
    )
)
_UNMANAGE: Final = BodySchema(
    {
        "type": "object",
        "properties": {"os-unmanage": {"type": ["object", "null"], "additionalProperties": False}},
        "required": ["os-unmanage"],
        "additionalProperties": False,
    }
)

ACTIONS: Final = {"os-reset_status": _RESET, "os-unmanage": _UNMANAGE}

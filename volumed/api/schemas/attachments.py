"""Bodies of attachments. A connector is the initiator's description of itself; what nobody needs to know is kept."""

from typing import Final

from volumed.api.schemas import fields
from volumed.api.validation import BodySchema

MODE: Final[fields.Schema] = {"enum": ["rw", "ro", None], "reason": "must be rw or ro"}

CONNECTOR: Final[fields.Schema] = {
    "type": "object",
    "maxProperties": 64,
    "properties": {
        "initiator": fields.NAME,
        "host": fields.NAME,
        "mountpoint": fields.NAME,
        "ip": fields.NAME,
        "mode": MODE,
    },
}

CREATE: Final = BodySchema(
    fields.body(
        "attachment",
        {
            "volume_uuid": fields.UUID,
            "instance_uuid": fields.or_null(fields.UUID),
            "connector": fields.or_null(CONNECTOR),
            "mode": MODE,
        },
        required=("volume_uuid",),
    )
)
UPDATE: Final = BodySchema(fields.body("attachment", {"connector": CONNECTOR}, required=("connector",)))

#: openstacksdk sends the attachment's id where other clients send an empty object.
COMPLETE: Final = BodySchema(
    {
        "type": "object",
        "properties": {
            "os-complete": {"type": ["object", "null", "string"], "additionalProperties": False, "maxLength": 36}
        },
        "required": ["os-complete"],
        "additionalProperties": False,
    }
)

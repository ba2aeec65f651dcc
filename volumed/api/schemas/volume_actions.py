"""Bodies of the actions on a volume, by the action's name."""

from collections.abc import Mapping
from typing import Final

from volumed.api.schemas import attachments, fields
from volumed.api.validation import BodySchema
from volumed.model.states import RESTING_VOLUME


def _bare(key: str) -> BodySchema:
    inner = {"type": ["object", "null"], "additionalProperties": False}
    return BodySchema({"type": "object", "properties": {key: inner}, "required": [key], "additionalProperties": False})


#: A whole number of GiB, as a volume's size.
_EXTEND = BodySchema(fields.body("os-extend", {"new_size": fields.SIZE}, required=("new_size",)))

_REVERT = BodySchema(fields.body("revert", {"snapshot_id": fields.UUID}, required=("snapshot_id",)))
_RESET = BodySchema(
    fields.body(
        "os-reset_status",
        {
            "status": {
                "enum": [*sorted(RESTING_VOLUME), None],
                "reason": "must be a status in which a volume may rest: " + ", ".join(sorted(RESTING_VOLUME)),
            },
            "attach_status": {"enum": ["attached", "detached", None], "reason": "must be attached or detached"},
            "migration_status": {"enum": ["none", None], "reason": "must be none: volumes are not migrated"},
        },
        minProperties=1,
    )
)
_ATTACH = BodySchema(
    fields.body(
        "os-attach",
        {
            "instance_uuid": fields.or_null(fields.UUID),
            "host_name": fields.NAME,
            "mountpoint": fields.NAME,
            "mode": attachments.MODE,
        },
    )
)
_DETACH = BodySchema(
    {
        "type": "object",
        "properties": {
            "os-detach": {
                "type": ["object", "null"],
                "properties": {"attachment_id": fields.or_null(fields.UUID)},
                "additionalProperties": False,
            }
        },
        "required": ["os-detach"],
        "additionalProperties": False,
    }
)
_FORCE_DETACH = BodySchema(
    fields.body(
        "os-force_detach",
        {
            "attachment_id": fields.or_null(fields.UUID),
            "connector": fields.or_null(attachments.CONNECTOR),
        },
    )
)
_INITIALIZE = BodySchema(
    fields.body("os-initialize_connection", {"connector": attachments.CONNECTOR}, required=("connector",))
)
_TERMINATE = BodySchema(
    fields.body(
        "os-terminate_connection",
        {
            "connector": fields.or_null(attachments.CONNECTOR),
            "force": {"anyOf": [fields.BOOLEAN, fields.NULL]},
        },
        required=("connector",),
    )
)

ACTIONS: Final[Mapping[str, BodySchema]] = {
    "os-extend": _EXTEND,
    "revert": _REVERT,
    "os-reset_status": _RESET,
    "os-force_delete": _bare("os-force_delete"),
    "os-reserve": _bare("os-reserve"),
    "os-unreserve": _bare("os-unreserve"),
    "os-begin_detaching": _bare("os-begin_detaching"),
    "os-roll_detaching": _bare("os-roll_detaching"),
    "os-attach": _ATTACH,
    "os-detach": _DETACH,
    "os-force_detach": _FORCE_DETACH,
    "os-initialize_connection": _INITIALIZE,
    "os-terminate_connection": _TERMINATE,
    "os-unmanage": _bare("os-unmanage"),
}

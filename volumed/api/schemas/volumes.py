"""Bodies of volumes."""

from typing import Final

from volumed.api.schemas import fields
from volumed.api.validation import BodySchema

_CREATED = {
    "name": fields.NAME,
    "display_name": fields.NAME,
    "description": fields.DESCRIPTION,
    "display_description": fields.DESCRIPTION,
    "size": fields.or_null(fields.SIZE),
    "availability_zone": fields.NAME,
    "volume_type": fields.NAME,
    "metadata": fields.or_null(fields.METADATA),
    "snapshot_id": fields.or_null(fields.UUID),
    "source_volid": fields.or_null(fields.UUID),
    "multiattach": {"anyOf": [fields.BOOLEAN, fields.NULL]},
    # Known, and refused by name when they ask for something (``handlers.volumes``).
    "imageRef": fields.NAME,
    "image_id": fields.NAME,
    "backup_id": fields.NAME,
    "group_id": fields.NAME,
    "consistencygroup_id": fields.NAME,
    "source_replica": fields.NAME,
}
#: Older clients send these, and the service sets them itself.
_BY_SERVICE = {"deprecated": True, "description": "ignored; refused since microversion 3.53"}
_IGNORED: dict[str, fields.Schema] = {
    "user_id": _BY_SERVICE,
    "project_id": _BY_SERVICE,
    "status": _BY_SERVICE,
    "attach_status": _BY_SERVICE,
}

_HINTS = {"OS-SCH-HNT:scheduler_hints": {"type": ["object", "null"], "maxProperties": 0}}


def _create(properties: dict[str, fields.Schema]) -> BodySchema:
    schema = fields.body("volume", properties)
    return BodySchema({**schema, "properties": {**schema["properties"], **_HINTS}})


CREATE: Final = _create(_CREATED)
#: Before microversion 3.53.
CREATE_LENIENT: Final = _create(_CREATED | _IGNORED)

_UPDATED = {
    "name": fields.NAME,
    "display_name": fields.NAME,
    "description": fields.DESCRIPTION,
    "display_description": fields.DESCRIPTION,
    "metadata": fields.or_null(fields.METADATA),
}
UPDATE: Final = BodySchema(fields.body("volume", _UPDATED, minProperties=1))
#: Before microversion 3.53.
UPDATE_LENIENT: Final = BodySchema(fields.body("volume", _UPDATED))

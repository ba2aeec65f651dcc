"""An attachment as JSON. The one place that puts credentials into an answer, for the owner who asked for them."""

from typing import Any

from volumed.api.moments import spelled
from volumed.model import credentials
from volumed.model.records import Attachment, Json


def summary(attachment: Attachment) -> dict[str, Any]:
    """What a list without details says."""
    return {
        "id": attachment.id,
        "status": attachment.attach_status,
        "instance": attachment.instance_uuid,
        "volume_id": attachment.volume_id,
    }


def listed(attachment: Attachment) -> dict[str, Any]:
    """What a list with details says: no credentials, one page would hold those of a whole project."""
    return _detail(attachment, _flat(attachment, attachment.connection_info))


def detail(attachment: Attachment) -> dict[str, Any]:
    """All of the attachment, with what a client needs to log in."""
    told = _detail(attachment, _flat(attachment, with_credentials(attachment)))
    return told if attachment.error is None else told | {"volumed:error": attachment.error}


def with_credentials(attachment: Attachment) -> Json:
    """``{"driver_volume_type", "data"}`` as the classic action answers it; empty while nobody may log in."""
    info = attachment.connection_info
    if info is None:
        return {}
    data = dict(credentials.with_credentials(info, attachment.credentials)["data"])
    data.setdefault("access_mode", attachment.attach_mode)
    data.setdefault("encrypted", False)
    return info | {"data": data}


def _detail(attachment: Attachment, connection_info: Json) -> dict[str, Any]:
    return summary(attachment) | {
        "attach_mode": attachment.attach_mode,
        "attached_at": spelled(attachment.attached_at) or "",
        "detached_at": "",
        "connection_info": connection_info,
    }


def _flat(attachment: Attachment, info: Json | None) -> Json:
    """As the attachments API shows it: the data and its type side by side, with the attachment's own id."""
    if not info:
        return {}
    return {
        **info["data"],
        "driver_volume_type": info["driver_volume_type"],
        "attachment_id": attachment.id,
        "volume_id": attachment.volume_id,
    }

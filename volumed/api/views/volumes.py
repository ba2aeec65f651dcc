"""A volume as JSON, in the request's microversion. Long lists pass here: what can be is done once before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from volumed.api import microversions
from volumed.api.moments import spelled
from volumed.api.views.manageable import shown
from volumed.db.volumes import TypedVolume
from volumed.model.host import backend_of
from volumed.model.records import Attachment
from volumed.model.states import AttachStatus


@dataclass(frozen=True, slots=True)
class VolumeView:
    """``url`` is the collection's; ``shows_host`` says whether the caller may see where volumes are."""

    url: str
    minor: int
    shows_host: bool
    #: Ids of the services by ``host@backend``, where the microversion shows them.
    service_ids: Mapping[str, str]

    def summary(self, typed: TypedVolume) -> dict[str, Any]:
        """What a list without details says."""
        volume = typed.volume
        return {"id": volume.id, "name": volume.name, "links": self._links(volume.id)}

    def detail(self, typed: TypedVolume, attachments: Sequence[Attachment] = ()) -> dict[str, Any]:
        """All of the volume."""
        volume = typed.volume
        told: dict[str, Any] = {
            "id": volume.id,
            "name": volume.name,
            "description": volume.description,
            "status": shown(volume.status),
            "size": volume.size,
            "availability_zone": volume.availability_zone,
            "created_at": spelled(volume.created_at),
            "updated_at": spelled(volume.updated_at),
            "volume_type": typed.type_name,
            "snapshot_id": volume.snapshot_id,
            "source_volid": volume.source_volid,
            "bootable": "true" if volume.bootable else "false",
            "multiattach": volume.multiattach,
            "encrypted": False,
            "replication_status": None,
            "consistencygroup_id": None,
            "metadata": volume.metadata,
            "attachments": [self._attachment(each) for each in attachments if each.attach_status in _SHOWN],
            "user_id": volume.user_id,
            "links": self._links(volume.id),
            "os-vol-tenant-attr:tenant_id": volume.project_id,
        }
        if volume.error is not None:
            told["volumed:error"] = volume.error
        if self.shows_host:
            told["os-vol-host-attr:host"] = volume.host
            told["os-vol-mig-status-attr:migstat"] = None
            told["os-vol-mig-status-attr:name_id"] = None
        if self.minor:
            self._add_later_fields(told, typed)
        return told

    def _add_later_fields(self, told: dict[str, Any], typed: TypedVolume) -> None:
        minor, volume = self.minor, typed.volume
        if minor >= microversions.GROUPS:
            told["group_id"] = None
        if minor >= microversions.PROVIDER_ID and self.shows_host:
            told["provider_id"] = None
        if minor >= microversions.SERVICE_OF_VOLUME:
            told["shared_targets"] = False
            told["service_uuid"] = volume.host and self.service_ids.get(backend_of(volume.host))
        if minor >= microversions.CLUSTER_NAME and self.shows_host:
            told["cluster_name"] = None
        if minor >= microversions.TYPE_ID:
            told["volume_type_id"] = volume.volume_type_id
        if minor >= microversions.CONSUMES_QUOTA:
            told["consumes_quota"] = True

    def _links(self, volume_id: str) -> list[dict[str, str]]:
        url = f"{self.url}/{volume_id}"
        return [{"rel": "self", "href": url}, {"rel": "bookmark", "href": url.replace("/v3/", "/", 1)}]

    def _attachment(self, attachment: Attachment) -> dict[str, Any]:
        return {
            "id": attachment.volume_id,
            "attachment_id": attachment.id,
            "volume_id": attachment.volume_id,
            "server_id": attachment.instance_uuid,
            "host_name": (attachment.connector or {}).get("host") if self.shows_host else None,
            "device": attachment.mountpoint,
            "attached_at": spelled(attachment.attached_at),
        }


#: Attachments that a volume shows: those that are in use.
_SHOWN = frozenset({AttachStatus.ATTACHED.value, AttachStatus.DETACHING.value, AttachStatus.ERROR_DETACHING.value})

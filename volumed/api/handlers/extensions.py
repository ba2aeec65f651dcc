"""Extensions and filters, for clients that ask what there is before they use it."""

from typing import Final

import falcon

from volumed.api import answers, microversions
from volumed.api.filters import attachments, snapshots, volumes
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier
from volumed.model.errors import NotFound

#: Alias, name and what it is for.
_EXTENSIONS: Final = (
    ("os-availability-zone", "AvailabilityZones", "Describe availability zones."),
    ("os-quota-sets", "Quotas", "Quota management support."),
    ("os-quota-class-sets", "QuotaClasses", "Quota classes management support."),
    ("os-services", "Services", "Services support."),
    ("scheduler-stats", "Scheduler_stats", "Scheduler stats support."),
    ("os-types-extra-specs", "TypesExtraSpecs", "Types extra specs support."),
    ("os-types-manage", "TypesManage", "Types manage support."),
    ("os-volume-actions", "VolumeActions", "Enable volume actions."),
    ("os-admin-actions", "AdminActions", "Enable admin actions."),
    ("os-extended-snapshot-attributes", "ExtendedSnapshotAttributes", "Extended SnapshotAttributes support."),
    ("os-volume-manage", "VolumeManage", "Allows existing backend storage to be managed."),
    ("os-volume-unmanage", "VolumeUnmanage", "Enable volume unmanage operation."),
    ("os-snapshot-manage", "SnapshotManage", "Allows existing snapshots to be managed."),
    ("os-snapshot-unmanage", "SnapshotUnmanage", "Enable snapshot unmanage operation."),
    ("os-vol-tenant-attr", "VolumeTenantAttribute", "Expose the project as an attribute of a volume."),
    ("os-vol-host-attr", "VolumeHostAttribute", "Expose host as an attribute of a volume."),
)

_FILTERS: Final = {"volume": volumes.FILTERS, "snapshot": snapshots.FILTERS, "attachment": attachments.FILTERS}


class Extensions:
    """``GET /extensions`` and ``GET /extensions/{alias}``."""

    def __init__(self, tier: Tier) -> None:
        self._known = {
            alias: {
                "alias": alias,
                "name": name,
                "description": description,
                "updated": "2013-04-18T00:00:00+00:00",
                "links": [],
            }
            for alias, name, description in _EXTENSIONS
        }

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        answers.send(resp, {"extensions": list(self._known.values())})

    def on_get_one(self, req: ApiRequest, resp: falcon.Response, alias: str) -> None:
        if alias not in self._known:
            raise NotFound(resource_type="extension", resource_id=alias[:80])
        answers.send(resp, {"extension": self._known[alias]})


class ResourceFilters:
    """``GET /resource_filters``."""

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        req.since(microversions.RESOURCE_FILTERS)
        wanted = req.get_param("resource")
        told = [
            {"resource": resource, "filters": list(filters)}
            for resource, filters in _FILTERS.items()
            if wanted in {None, resource}
        ]
        answers.send(resp, {"resource_filters": told})

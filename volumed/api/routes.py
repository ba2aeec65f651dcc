"""Every path of the API with the resource behind it, and who builds the answer to a repeated request again."""

from collections.abc import Callable
from typing import Any

import falcon

from volumed.api.accept.transaction import Reference
from volumed.api.handlers import (
    attachments,
    availability_zones,
    doctor,
    events,
    extensions,
    health,
    limits,
    manageable,
    metadata,
    metrics,
    openapi,
    operations,
    pools,
    quota_sets,
    services,
    snapshots,
    types,
    versions,
    volume_actions,
    volume_summary,
    volumes,
    why,
)
from volumed.api.request import ApiRequest
from volumed.api.tier import Tier

#: Path, resource, and the suffix of its methods.
Route = tuple[str, Any, str | None]
Rebuild = Callable[[ApiRequest, falcon.Response, Reference], None]


class Routes:
    """The routes of one tier. ``rebuilds`` has an entry for each kind of thing that a POST's answer may be about."""

    def __init__(self, tier: Tier) -> None:
        self.rebuilds: dict[str, Rebuild] = {"nothing": _nothing}
        self.all: list[Route] = [
            *self._about_the_service(tier),
            *self._volumes(tier),
            *self._snapshots(tier),
            *self._attachments(tier),
            *self._types(tier),
            *self._fleet(tier),
            *self._manageable(tier),
        ]

    def collections(self) -> frozenset[str]:
        """What may follow ``/v3`` in a path without a project."""
        return frozenset(path.split("/")[2] for path, _, _ in self.all if path.startswith("/v3/"))

    def _about_the_service(self, tier: Tier) -> list[Route]:
        version, extension = versions.Versions(tier), extensions.Extensions(tier)
        return [
            ("/", version, None),
            ("/healthcheck", health.Health(tier), None),
            ("/metrics", metrics.Metrics(tier), None),
            ("/v3", version, "v3"),
            ("/v3/openapi.json", openapi.OpenApi(), None),
            ("/v3/extensions", extension, None),
            ("/v3/extensions/{alias}", extension, "one"),
            ("/v3/resource_filters", extensions.ResourceFilters(), None),
        ]

    def _volumes(self, tier: Tier) -> list[Route]:
        volume, action = volumes.Volumes(tier), volume_actions.VolumeActions(tier)
        pairs = metadata.Metadata(tier, metadata.VOLUME)
        self.rebuilds |= {
            "volume": volume.rebuild,
            "connection": action.rebuild,
            "volume metadata": pairs.rebuild,
        }
        return [
            ("/v3/volumes", volume, None),
            ("/v3/volumes/detail", volume, "detail"),
            ("/v3/volumes/summary", volume_summary.VolumeSummary(tier), None),
            ("/v3/volumes/{resource_id}", volume, "one"),
            ("/v3/volumes/{resource_id}/action", action, None),
            ("/v3/volumes/{resource_id}/metadata", pairs, None),
            ("/v3/volumes/{resource_id}/metadata/{key}", pairs, "one"),
            ("/v3/volumes/{resource_id}/timeline", operations.Timeline(tier), None),
            ("/v3/volumes/{resource_id}/placement", operations.Placement(tier), None),
            ("/v3/volumes/{resource_id}/why", why.Why(tier), None),
        ]

    def _snapshots(self, tier: Tier) -> list[Route]:
        snapshot, pairs = snapshots.Snapshots(tier), metadata.Metadata(tier, metadata.SNAPSHOT)
        self.rebuilds |= {"snapshot": snapshot.rebuild, "snapshot metadata": pairs.rebuild}
        return [
            ("/v3/snapshots", snapshot, None),
            ("/v3/snapshots/detail", snapshot, "detail"),
            ("/v3/snapshots/{resource_id}", snapshot, "one"),
            ("/v3/snapshots/{resource_id}/action", snapshot, "action"),
            ("/v3/snapshots/{resource_id}/metadata", pairs, None),
            ("/v3/snapshots/{resource_id}/metadata/{key}", pairs, "one"),
        ]

    def _attachments(self, tier: Tier) -> list[Route]:
        attachment = attachments.Attachments(tier)
        self.rebuilds |= {"attachment": attachment.rebuild}
        return [
            ("/v3/attachments", attachment, None),
            ("/v3/attachments/detail", attachment, "detail"),
            ("/v3/attachments/{attachment_id}", attachment, "one"),
            ("/v3/attachments/{attachment_id}/action", attachment, "action"),
        ]

    def _types(self, tier: Tier) -> list[Route]:
        kind, specs = types.Types(tier), types.ExtraSpecs(tier)
        self.rebuilds |= {"volume type": kind.rebuild, "extra specs": specs.rebuild}
        return [
            ("/v3/types", kind, None),
            ("/v3/types/{type_id}", kind, "one"),
            ("/v3/types/{type_id}/extra_specs", specs, None),
            ("/v3/types/{type_id}/extra_specs/{key}", specs, "one"),
        ]

    def _manageable(self, tier: Tier) -> list[Route]:
        volume, snapshot = manageable.ManageableVolumes(tier), manageable.ManageableSnapshots(tier)
        self.rebuilds |= {"managed volume": volume.rebuild, "managed snapshot": snapshot.rebuild}
        return [
            ("/v3/manageable_volumes", volume, None),
            ("/v3/manageable_volumes/detail", volume, "detail"),
            ("/v3/os-volume-manage", volume, "older"),
            ("/v3/manageable_snapshots", snapshot, None),
            ("/v3/manageable_snapshots/detail", snapshot, "detail"),
            ("/v3/os-snapshot-manage", snapshot, "older"),
        ]

    def _fleet(self, tier: Tier) -> list[Route]:
        examination = doctor.Doctor(tier)
        self.rebuilds |= {"repairs": examination.rebuild}
        quota, service, operation = quota_sets.QuotaSets(tier), services.Services(tier), operations.Operations(tier)
        self.rebuilds |= {"operation": operation.rebuild}
        return [
            ("/v3/os-quota-sets/{project_id}", quota, None),
            ("/v3/os-quota-sets/{project_id}/defaults", quota, "defaults"),
            ("/v3/os-quota-class-sets/{class_name}", quota_sets.QuotaClassSets(tier), None),
            ("/v3/limits", limits.Limits(tier), None),
            ("/v3/os-services", service, "list"),
            ("/v3/os-services/{verb}", service, None),
            ("/v3/scheduler-stats/get_pools", pools.Pools(tier), None),
            ("/v3/os-availability-zone", availability_zones.AvailabilityZones(tier), None),
            ("/v3/doctor", examination, None),
            ("/v3/operations", operation, None),
            ("/v3/operations/{operation_id}", operation, "one"),
            ("/v3/operations/{operation_id}/action", operation, "action"),
            ("/v3/events", events.Events(tier), None),
        ]


def _nothing(req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
    """The answer to a request that is answered without a body."""

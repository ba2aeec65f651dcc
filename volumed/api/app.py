"""The API tier as one WSGI application: its routes, and what every request passes on its way to them."""

from collections.abc import Callable, Mapping
from typing import Any

import falcon

from volumed.api import errors, idempotency
from volumed.api.accept.transaction import Reference, Repeated
from volumed.api.handlers import (
    attachments,
    availability_zones,
    extensions,
    health,
    limits,
    metadata,
    metrics,
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
)
from volumed.api.middleware import Authentication, Bodies, Microversions, PlainText, ProjectPaths, RequestIds
from volumed.api.policy import Policy
from volumed.api.request import ApiRequest
from volumed.api.settings import Settings
from volumed.api.tier import ApiParts, Tier
from volumed.db import volume_types
from volumed.identity.callers import identity_of
from volumed.model.errors import VolumedError

__all__ = ["ApiParts", "make_app"]

App = falcon.App[ApiRequest, falcon.Response]
#: Path, resource, and the suffix of its methods.
Route = tuple[str, Any, str | None]
Rebuild = Callable[[ApiRequest, falcon.Response, Reference], None]


def make_app(parts: ApiParts) -> App:
    """The application; the default volume type is made if the database has none."""
    settings = Settings.read(parts.conf)
    parts.database.write(volume_types.ensure_default, settings.default_volume_type)
    policy = Policy(parts.conf, parts.conf.api.policy_file)
    tier = Tier(parts.database, parts.scheduler, parts.volume, parts.ends, settings, policy)
    routes, rebuilds = _routes(tier)
    identity = identity_of(parts.conf.api.auth_strategy)
    collections = frozenset(path.split("/")[2] for path, _, _ in routes if path.startswith("/v3/"))
    app: App = falcon.App(
        request_type=ApiRequest,
        middleware=[
            RequestIds(),
            PlainText(),
            ProjectPaths(collections),
            Authentication(identity),
            Microversions(),
            Bodies(settings.max_body),
        ],
    )
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.keep_blank_qs_values = True
    app.req_options.auto_parse_qs_csv = False
    for path, resource, suffix in routes:
        app.add_route(path, resource, **({"suffix": suffix} if suffix else {}))
    errors.install(app, identity.challenge)
    app.add_error_handler(Repeated, _replay(rebuilds))
    return app


def _routes(tier: Tier) -> tuple[list[Route], Mapping[str, Rebuild]]:
    """Every path with its resource, and who builds the answer to a repeated request again."""
    version, volume, snapshot = versions.Versions(tier), volumes.Volumes(tier), snapshots.Snapshots(tier)
    action, attachment = volume_actions.VolumeActions(tier), attachments.Attachments(tier)
    volume_metadata = metadata.Metadata(tier, metadata.VOLUME)
    snapshot_metadata = metadata.Metadata(tier, metadata.SNAPSHOT)
    kind, specs = types.Types(tier), types.ExtraSpecs(tier)
    quota, operation = quota_sets.QuotaSets(tier), operations.Operations(tier)
    extension = extensions.Extensions(tier)
    routes: list[Route] = [
        ("/", version, None),
        ("/healthcheck", health.Health(tier), None),
        ("/metrics", metrics.Metrics(tier), None),
        ("/v3", version, "v3"),
        ("/v3/extensions", extension, None),
        ("/v3/extensions/{alias}", extension, "one"),
        ("/v3/resource_filters", extensions.ResourceFilters(tier), None),
        ("/v3/volumes", volume, None),
        ("/v3/volumes/detail", volume, "detail"),
        ("/v3/volumes/summary", volume_summary.VolumeSummary(tier), None),
        ("/v3/volumes/{resource_id}", volume, "one"),
        ("/v3/volumes/{resource_id}/action", action, None),
        ("/v3/volumes/{resource_id}/timeline", operations.Timeline(tier), None),
        ("/v3/volumes/{resource_id}/placement", operations.Placement(tier), None),
        ("/v3/volumes/{resource_id}/metadata", volume_metadata, None),
        ("/v3/volumes/{resource_id}/metadata/{key}", volume_metadata, "one"),
        ("/v3/snapshots", snapshot, None),
        ("/v3/snapshots/detail", snapshot, "detail"),
        ("/v3/snapshots/{resource_id}", snapshot, "one"),
        ("/v3/snapshots/{resource_id}/action", snapshot, "action"),
        ("/v3/snapshots/{resource_id}/metadata", snapshot_metadata, None),
        ("/v3/snapshots/{resource_id}/metadata/{key}", snapshot_metadata, "one"),
        ("/v3/attachments", attachment, None),
        ("/v3/attachments/detail", attachment, "detail"),
        ("/v3/attachments/{attachment_id}", attachment, "one"),
        ("/v3/attachments/{attachment_id}/action", attachment, "action"),
        ("/v3/types", kind, None),
        ("/v3/types/{type_id}", kind, "one"),
        ("/v3/types/{type_id}/extra_specs", specs, None),
        ("/v3/types/{type_id}/extra_specs/{key}", specs, "one"),
        ("/v3/os-quota-sets/{project_id}", quota, None),
        ("/v3/os-quota-sets/{project_id}/defaults", quota, "defaults"),
        ("/v3/os-quota-class-sets/{class_name}", quota_sets.QuotaClassSets(tier), None),
        ("/v3/limits", limits.Limits(tier), None),
        ("/v3/os-services", services.Services(tier), "list"),
        ("/v3/os-services/{verb}", services.Services(tier), None),
        ("/v3/scheduler-stats/get_pools", pools.Pools(tier), None),
        ("/v3/os-availability-zone", availability_zones.AvailabilityZones(tier), None),
        ("/v3/operations", operation, None),
        ("/v3/operations/{operation_id}", operation, "one"),
    ]
    rebuilds: dict[str, Rebuild] = {
        "nothing": _nothing,
        "volume": volume.rebuild,
        "snapshot": snapshot.rebuild,
        "attachment": attachment.rebuild,
        "connection": action.rebuild,
        "volume type": kind.rebuild,
        "extra specs": specs.rebuild,
        "volume metadata": volume_metadata.rebuild,
        "snapshot metadata": snapshot_metadata.rebuild,
    }
    return routes, rebuilds


def _nothing(req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
    """The answer to a request that is answered without a body."""


def _replay(rebuilds: Mapping[str, Rebuild]) -> Any:
    def replay(req: ApiRequest, resp: falcon.Response, repeated: Repeated, params: Mapping[str, Any]) -> None:
        resp.set_header(idempotency.REPLAYED_HEADER, "true")
        try:
            rebuilds[repeated.reference.resource_type](req, resp, repeated.reference)
        except VolumedError as error:  # the framework asks no second handler
            errors.refuse(req, resp, error, params)
        else:
            resp.status = repeated.reference.status

    return replay

"""Every method of every path: what it takes and what it answers. A test holds it equal to the application's routes."""

from collections.abc import Mapping, Sequence
from typing import Any

from volumed.api import microversions
from volumed.api.filters import attachments as attachment_filters
from volumed.api.filters import snapshots as snapshot_filters
from volumed.api.filters import volumes as volume_filters
from volumed.api.openapi import answers
from volumed.api.openapi.endpoint import (
    EVERY_PROJECT,
    PAGE,
    STREAM_MEDIA,
    TEXT_MEDIA,
    WITH_COUNT,
    Endpoint,
    filters,
    query,
)
from volumed.api.openapi.words import COUNT, Schema, list_of, named, one_of, only
from volumed.api.schemas import (
    attachments,
    doctor,
    manageable,
    metadata,
    operations,
    quota_sets,
    services,
    snapshots,
    types,
    volume_actions,
    volumes,
)

#: The methods and paths of one resource, with what is published of them.
Part = Sequence[Endpoint]


def _service() -> Part:
    tag = "service"
    return (
        Endpoint("GET", "/", "The versions of the API", tag, {300: answers.VERSIONS}, is_open=True),
        Endpoint("GET", "/v3", "The version 3 of the API", tag, {200: answers.VERSIONS}, is_open=True),
        Endpoint(
            "GET",
            "/healthcheck",
            "Whether this process can do its work",
            tag,
            {200: answers.HEALTH, 503: answers.HEALTH},
            is_open=True,
        ),
        Endpoint("GET", "/metrics", "Figures for Prometheus", tag, {200: {}}, is_open=True, media=TEXT_MEDIA),
        Endpoint("GET", "/v3/openapi.json", "This document", tag, {200: answers.OPENAPI}, is_open=True),
        Endpoint("GET", "/v3/extensions", "The extensions", tag, {200: answers.EXTENSIONS}),
        Endpoint("GET", "/v3/extensions/{alias}", "One extension", tag, {200: answers.EXTENSION}),
        Endpoint(
            "GET",
            "/v3/resource_filters",
            "The filters of each list",
            tag,
            {200: answers.RESOURCE_FILTERS},
            since=microversions.RESOURCE_FILTERS,
            queries=(query("resource"),),
        ),
    )


def _metadata(tag: str, collection: str) -> Part:
    path = f"/v3/{collection}/{{resource_id}}/metadata"
    changed: dict[str, Any] = {"tagged": True, "keyed": True, "refusals": (412,)}
    told, one = {200: answers.METADATA}, {200: answers.ONE_METADATUM}
    everything, single = metadata.ALL.schema, metadata.ONE.schema
    return (
        Endpoint("GET", path, "Show the metadata", tag, told, tagged=True),
        Endpoint("POST", path, "Add to the metadata", tag, told, everything, **changed),
        Endpoint("PUT", path, "Replace the metadata", tag, told, everything, **changed),
        Endpoint("GET", f"{path}/{{key}}", "Show one pair", tag, one),
        Endpoint("PUT", f"{path}/{{key}}", "Set one pair", tag, one, single, **changed),
        Endpoint("DELETE", f"{path}/{{key}}", "Remove one pair", tag, {200: None}, **changed),
    )


def _volumes() -> Part:
    tag, one = "volumes", "/v3/volumes/{resource_id}"
    listed = (*PAGE, EVERY_PROJECT, WITH_COUNT, *filters(volume_filters.FILTERS))
    removal = (query("force", description="Since 3.23, for administrators."), query("cascade"))
    return (
        Endpoint(
            "POST",
            "/v3/volumes",
            "Create a volume",
            tag,
            {202: answers.VOLUME},
            volumes.CREATE_LENIENT.schema,
            operates=True,
            keyed=True,
        ),
        Endpoint("GET", "/v3/volumes", "List volumes", tag, _page("volumes", "VolumeSummary"), queries=listed),
        Endpoint("GET", "/v3/volumes/detail", "List volumes", tag, _page("volumes", "Volume"), queries=listed),
        Endpoint(
            "GET",
            "/v3/volumes/summary",
            "How many volumes there are, and their GiB",
            tag,
            {200: answers.VOLUME_SUMMARY},
            since=microversions.SUMMARY,
            queries=(EVERY_PROJECT,),
        ),
        Endpoint("GET", one, "Show a volume", tag, {200: answers.VOLUME}),
        Endpoint("PUT", one, "Update a volume", tag, {200: answers.VOLUME}, volumes.UPDATE_LENIENT.schema),
        Endpoint("DELETE", one, "Delete a volume", tag, {202: None}, queries=removal, operates=True, keyed=True),
        Endpoint(
            "POST",
            f"{one}/action",
            "Act on a volume",
            tag,
            {200: answers.CONNECTION, 202: None},
            {"oneOf": [schema.schema for schema in volume_actions.ACTIONS.values()]},
            refusals=(500,),
            operates=True,
            keyed=True,
        ),
        *_metadata(tag, "volumes"),
        Endpoint("GET", f"{one}/timeline", "What became of its requests", tag, {200: answers.TIMELINE}),
        Endpoint("GET", f"{one}/placement", "Why it is where it is", tag, {200: answers.PLACEMENT}),
        Endpoint("GET", f"{one}/why", "What holds it, since when, and what it waits for", tag, {200: answers.WHY}),
    )


def _snapshots() -> Part:
    tag, one = "snapshots", "/v3/snapshots/{resource_id}"
    listed = (*PAGE, EVERY_PROJECT, WITH_COUNT, *filters(snapshot_filters.FILTERS))
    works: dict[str, Any] = {"operates": True, "keyed": True}
    made, changed = snapshots.CREATE.schema, snapshots.UPDATE.schema
    return (
        Endpoint("POST", "/v3/snapshots", "Create a snapshot", tag, {202: answers.SNAPSHOT_SUMMARY}, made, **works),
        Endpoint("GET", "/v3/snapshots", "List snapshots", tag, _page("snapshots", "SnapshotSummary"), queries=listed),
        Endpoint("GET", "/v3/snapshots/detail", "List snapshots", tag, _page("snapshots", "Snapshot"), queries=listed),
        Endpoint("GET", one, "Show a snapshot", tag, {200: answers.SNAPSHOT}),
        Endpoint("PUT", one, "Update a snapshot", tag, {200: answers.SNAPSHOT_SUMMARY}, changed),
        Endpoint("DELETE", one, "Delete a snapshot", tag, {202: None}, **works),
        Endpoint(
            "POST",
            f"{one}/action",
            "Act on a snapshot",
            tag,
            {202: None},
            {"oneOf": [schema.schema for schema in snapshots.ACTIONS.values()]},
            operates=True,
            keyed=True,
        ),
        *_metadata(tag, "snapshots"),
    )


def _manageable(kind: str, made: Schema, body: Schema) -> Part:
    tag, path = "manageable", f"/v3/manageable_{kind}s"
    asked = (query("host", description="The place: `host@backend`, or `host@backend#pool`; it must be given."), *PAGE)
    name, key = f"Manageable{kind.capitalize()}", f"manageable-{kind}s"
    known: dict[str, Any] = {"since": microversions.MANAGE_LIST}
    works: dict[str, Any] = {"operates": True, "keyed": True}
    listed = f"List what could be managed as a {kind}"
    summaries, details = ({200: only(key, list_of(named(each)))} for each in (f"{name}Summary", name))
    return (
        Endpoint("GET", path, listed, tag, summaries, queries=asked, **known),
        Endpoint("GET", f"{path}/detail", listed, tag, details, queries=asked, **known),
        Endpoint("POST", path, f"Manage what others made as a {kind}", tag, {202: made}, body, **known, **works),
        Endpoint("POST", f"/v3/os-{kind}-manage", "The same, for older clients", tag, {202: made}, body, **works),
    )


def _attachments() -> Part:
    tag, one = "attachments", "/v3/attachments/{attachment_id}"
    listed = (*PAGE, EVERY_PROJECT, *filters(attachment_filters.FILTERS))
    known: dict[str, Any] = {"since": microversions.ATTACHMENTS}
    works: dict[str, Any] = {**known, "operates": True, "keyed": True, "refusals": (500,)}
    told = {200: answers.ATTACHMENT}
    return (
        Endpoint("POST", "/v3/attachments", "Attach a volume", tag, told, attachments.CREATE.schema, **works),
        Endpoint(
            "GET",
            "/v3/attachments",
            "List attachments",
            tag,
            _page("attachments", "AttachmentSummary"),
            queries=listed,
            **known,
        ),
        Endpoint(
            "GET",
            "/v3/attachments/detail",
            "List attachments",
            tag,
            _page("attachments", "Attachment"),
            queries=listed,
            **known,
        ),
        Endpoint("GET", one, "Show an attachment, with the credentials to log in", tag, told, **known),
        Endpoint("PUT", one, "Let a connector in", tag, told, attachments.UPDATE.schema, **works),
        Endpoint("DELETE", one, "End an attachment", tag, {200: answers.ATTACHMENTS_LEFT, 204: None}, **works),
        Endpoint(
            "POST",
            f"{one}/action",
            "Say that the connector is in",
            tag,
            {204: None},
            attachments.COMPLETE.schema,
            since=microversions.ATTACHMENT_COMPLETE,
            keyed=True,
        ),
    )


def _types() -> Part:
    tag, one = "types", "/v3/types/{type_id}"
    listed = (*PAGE, *filters(("is_public", "name", "extra_specs")))
    told, specs, spec = {200: answers.VOLUME_TYPE}, {200: answers.EXTRA_SPECS}, {200: answers.EXTRA_SPEC}
    return (
        Endpoint("GET", "/v3/types", "List types", tag, {200: answers.VOLUME_TYPES}, queries=listed),
        Endpoint("POST", "/v3/types", "Create a type", tag, told, types.CREATE.schema, keyed=True),
        Endpoint("GET", one, "Show a type", tag, told),
        Endpoint("PUT", one, "Update a type", tag, told, types.UPDATE.schema, refusals=(409,)),
        Endpoint("DELETE", one, "Delete a type", tag, {202: None}),
        Endpoint("GET", f"{one}/extra_specs", "Show the extra specs", tag, specs),
        Endpoint("POST", f"{one}/extra_specs", "Add extra specs", tag, specs, types.SPECS.schema, keyed=True),
        Endpoint("GET", f"{one}/extra_specs/{{key}}", "Show an extra spec", tag, spec),
        Endpoint("PUT", f"{one}/extra_specs/{{key}}", "Set an extra spec", tag, spec, types.SPEC.schema),
        Endpoint("DELETE", f"{one}/extra_specs/{{key}}", "Remove an extra spec", tag, {202: None}),
    )


def _fleet() -> Part:
    tag, quota, default = "fleet", "/v3/os-quota-sets/{project_id}", "/v3/os-quota-class-sets/{class_name}"
    of_project, of_class = {200: answers.QUOTA_SET}, {200: answers.QUOTA_CLASS_SET}
    verbs = {"verb": one_of(("enable", "disable", "disable-log-reason"))}
    whose, which = filters(("project_id", "tenant_id")), filters(("host", "binary", "service"))
    pools = (query("detail"), *filters(("name", "volume_backend_name", "volume_type")))
    return (
        Endpoint("GET", quota, "Show the quota of a project", tag, of_project, queries=(query("usage"),)),
        Endpoint("PUT", quota, "Set limits of a project", tag, of_project, quota_sets.UPDATE.schema),
        Endpoint("DELETE", quota, "Let the defaults count for a project", tag, {200: None}),
        Endpoint("GET", f"{quota}/defaults", "Show the default limits", tag, of_project),
        Endpoint("GET", default, "Show the default limits", tag, of_class),
        Endpoint("PUT", default, "Set default limits", tag, of_class, quota_sets.UPDATE_CLASS.schema),
        Endpoint("GET", "/v3/limits", "Show the caller's limits and use", tag, {200: answers.LIMITS}, queries=whose),
        Endpoint("GET", "/v3/os-services", "List services", tag, {200: answers.SERVICES}, queries=which),
        Endpoint(
            "PUT",
            "/v3/os-services/{verb}",
            "Enable or disable a service",
            tag,
            {200: answers.SERVICE_CHANGED},
            services.UPDATE.schema,
            values=verbs,
        ),
        Endpoint("GET", "/v3/scheduler-stats/get_pools", "List pools", tag, {200: answers.POOLS}, queries=pools),
        Endpoint("GET", "/v3/os-availability-zone", "List availability zones", tag, {200: answers.ZONES}),
    )


def _operations() -> Part:
    tag = "operations"
    listed = (
        *PAGE,
        EVERY_PROJECT,
        *filters(("kind", "resource_type", "resource_id", "volume_id", "request_id")),
        query("state", description="A state, several with commas, `live` or `ended`."),
    )
    told = {200: answers.page("operations", "OperationSummary", "operations_links")}
    return (
        Endpoint("GET", "/v3/operations", "List operations", tag, told, queries=listed),
        Endpoint("GET", "/v3/operations/{operation_id}", "Show an operation", tag, {200: answers.OPERATION}),
        Endpoint(
            "POST",
            "/v3/operations/{operation_id}/action",
            "Cancel an operation, or do a failed one again",
            tag,
            {202: answers.OPERATION},
            operations.ACTION.schema,
            operates=True,
            keyed=True,
        ),
        Endpoint("GET", "/v3/doctor", "Compare rows and backends", tag, {200: answers.EXAMINATION}),
        Endpoint(
            "POST", "/v3/doctor", "Repair what differs", tag, {202: answers.REPAIRS}, doctor.REPAIR.schema, keyed=True
        ),
    )


def _events() -> Part:
    asked = (
        query("limit", COUNT, "Events of a page at most; the service has a limit of its own."),
        query("after", COUNT, "Only events behind this position; without it, a page begins with the oldest."),
        EVERY_PROJECT,
        *filters(("resource_id", "event_type")),
    )
    return (
        Endpoint(
            "GET",
            "/v3/events",
            "The events of all resources, as a page or, for who accepts text/event-stream, as they happen",
            "events",
            {200: answers.EVENTS},
            queries=asked,
            refusals=(410,),
            streams=(STREAM_MEDIA,),
        ),
    )


def _page(key: str, item: str) -> Mapping[int, Schema]:
    return {200: answers.page(key, item, f"{key}_links")}


def catalogue() -> Part:
    """All of them, in the order of the document."""
    return (
        *_service(),
        *_volumes(),
        *_snapshots(),
        *_attachments(),
        *_types(),
        *_fleet(),
        *_operations(),
        *_events(),
        *_manageable("volume", answers.VOLUME, manageable.VOLUME.schema),
        *_manageable("snapshot", answers.SNAPSHOT, manageable.SNAPSHOT.schema),
    )

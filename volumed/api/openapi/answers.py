"""Every body that an answer may have: strict, so that a field nobody wrote down here is found by the tests.

Stands beside ``views``, which make them. A field of a later microversion is optional and says which it is.
"""

from collections.abc import Mapping
from typing import Final

from volumed.api import microversions
from volumed.api.openapi.words import (
    ANYTHING,
    BOOLEAN,
    COUNT,
    INTEGER,
    LIMIT,
    NULL,
    NUMBER,
    TEXT,
    TEXTS,
    TIME,
    UUID,
    Schema,
    list_of,
    named,
    one_of,
    only,
    or_null,
    record,
    since,
)
from volumed.model.states import AttachStatus, OperationState, SnapshotStatus, VolumeStatus

_LINKS: Final = list_of(named("Link"))
_STEP: Final = record(
    {
        "step": TEXT,
        "direction": one_of(("do", "undo")),
        "attempt": COUNT,
        "start": or_null(TIME),
        "end": or_null(TIME),
    },
    {"seconds": NUMBER, "outcome": one_of(("done", "failed")), "error": TEXT, "progress": ANYTHING},
)
_ENABLED: Final = one_of(("enabled", "disabled"))

_VOLUME: Final = record(
    {
        "id": UUID,
        "name": or_null(TEXT),
        "description": or_null(TEXT),
        "status": one_of(list(VolumeStatus)),
        "size": {"type": "integer", "minimum": 1},
        "availability_zone": TEXT,
        "created_at": TIME,
        "updated_at": TIME,
        "volume_type": TEXT,
        "snapshot_id": or_null(UUID),
        "source_volid": or_null(UUID),
        "bootable": one_of(("true", "false")),
        "multiattach": BOOLEAN,
        "encrypted": {"const": False},
        "replication_status": NULL,
        "consistencygroup_id": NULL,
        "metadata": TEXTS,
        "attachments": list_of(named("AttachmentOfVolume")),
        "user_id": TEXT,
        "links": _LINKS,
        "os-vol-tenant-attr:tenant_id": TEXT,
    },
    {
        "volumed:error": named("Failure"),
        "os-vol-host-attr:host": or_null(TEXT),
        "os-vol-mig-status-attr:migstat": NULL,
        "os-vol-mig-status-attr:name_id": NULL,
        "group_id": since(microversions.GROUPS, NULL),
        "provider_id": since(microversions.PROVIDER_ID, NULL),
        "shared_targets": since(microversions.SERVICE_OF_VOLUME, {"const": False}),
        "service_uuid": since(microversions.SERVICE_OF_VOLUME, or_null(UUID)),
        "cluster_name": since(microversions.CLUSTER_NAME, NULL),
        "volume_type_id": since(microversions.TYPE_ID, UUID),
        "consumes_quota": since(microversions.CONSUMES_QUOTA, {"const": True}),
    },
)

_ATTACHMENT_OF_VOLUME: Final = record(
    {
        "id": UUID,
        "attachment_id": UUID,
        "volume_id": UUID,
        "server_id": or_null(TEXT),
        "host_name": or_null(TEXT),
        "device": or_null(TEXT),
        "attached_at": or_null(TIME),
    }
)

_SNAPSHOT_SUMMARY: Final[Mapping[str, Schema]] = {
    "id": UUID,
    "name": or_null(TEXT),
    "description": or_null(TEXT),
    "status": one_of(list(SnapshotStatus)),
    "size": COUNT,
    "volume_id": UUID,
    "metadata": TEXTS,
    "created_at": TIME,
    "updated_at": TIME,
}
_SNAPSHOT_LATER: Final[Mapping[str, Schema]] = {
    "group_snapshot_id": since(microversions.GROUP_SNAPSHOTS, NULL),
    "user_id": since(microversions.SNAPSHOT_USER, TEXT),
    "consumes_quota": since(microversions.CONSUMES_QUOTA, {"const": True}),
}

_ATTACHMENT_SUMMARY: Final[Mapping[str, Schema]] = {
    "id": UUID,
    "status": one_of(list(AttachStatus)),
    "instance": or_null(TEXT),
    "volume_id": UUID,
}
#: With the data of the target flat beside them, as the attachments API shows it; empty while nobody may log in.
_CONNECTION: Final[Schema] = {
    "type": "object",
    "properties": {
        "driver_volume_type": TEXT,
        "attachment_id": UUID,
        "volume_id": UUID,
        "access_mode": one_of(("rw", "ro")),
        "encrypted": BOOLEAN,
        "auth_method": {"const": "CHAP"},
        "auth_username": TEXT,
        "auth_password": TEXT,
    },
}

_OPERATION_SUMMARY: Final[Mapping[str, Schema]] = {
    "id": UUID,
    "kind": TEXT,
    "state": one_of(list(OperationState)),
    "resource_type": TEXT,
    "resource_id": TEXT,
    "volume_id": TEXT,
    "source_id": or_null(TEXT),
    "project_id": TEXT,
    "user_id": TEXT,
    "request_id": TEXT,
    "wait_reason": or_null(TEXT),
    "cancel_requested": BOOLEAN,
    "error": or_null(named("Failure")),
    "created_at": TIME,
    "updated_at": TIME,
    "ended_at": or_null(TIME),
}


def _manageable(resource_type: str, more: Mapping[str, Schema]) -> Mapping[str, Schema]:
    """What the lists of ``/manageable_volumes`` and ``/manageable_snapshots`` have."""
    summary = {"reference": TEXTS, "size": COUNT, "safe_to_manage": BOOLEAN, **more}
    details = {"reason_not_safe": or_null(TEXT), "cinder_id": or_null(TEXT), "extra_info": or_null(TEXT)}
    name = f"Manageable{resource_type.capitalize()}"
    return {f"{name}Summary": record(summary), name: record({**summary, **details})}


_SERVICE: Final = record(
    {
        "binary": TEXT,
        "host": TEXT,
        "zone": TEXT,
        "status": _ENABLED,
        "state": one_of(("up", "down")),
        "updated_at": TIME,
        "disabled_reason": or_null(TEXT),
        "volumed:state": one_of(("up", "starting", "down")),
        "volumed:state_reason": or_null(TEXT),
        "volumed:rpc_version": TEXT,
    },
    {
        "replication_status": {"const": "disabled"},
        "active_backend_id": NULL,
        "frozen": {"const": False},
        "backend_state": since(microversions.BACKEND_STATE, one_of(("up", "down"))),
        "cluster": since(microversions.CLUSTER, NULL),
    },
)

_QUOTA_USE: Final = record({"in_use": COUNT, "limit": LIMIT, "reserved": COUNT})
_QUOTA_NUMBER: Final[Schema] = {"anyOf": [LIMIT, _QUOTA_USE]}

_ABSOLUTE_LIMITS: Final = record(
    {
        **dict.fromkeys(("maxTotalVolumes", "maxTotalSnapshots", "maxTotalVolumeGigabytes"), LIMIT),
        **dict.fromkeys(("maxTotalBackups", "maxTotalBackupGigabytes"), LIMIT),
        **dict.fromkeys(("totalVolumesUsed", "totalSnapshotsUsed", "totalGigabytesUsed"), COUNT),
        **dict.fromkeys(("totalBackupsUsed", "totalBackupGigabytesUsed"), COUNT),
    }
)

#: What OpenStack calls each code in an error's body; others are a ``computeFault``.
_FAULT: Final = record({"code": {"type": "integer", "minimum": 400, "maximum": 599}, "message": TEXT})

#: Why a volume is as it is: beside the first three, what belongs to the type.
_REASON: Final = record(
    {
        "type": one_of(("operation", "reader", "attachment", "snapshots", "error", "lost", "deleted", "nothing")),
        "sentence": {"type": "string", "minLength": 1},
        "since": or_null(TIME),
    },
    {
        **dict.fromkeys(
            ("operation_id", "kind", "request_id", "step", "wait_reason", "instance", "host"), or_null(TEXT)
        ),
        **dict.fromkeys(("resource_type", "resource_id", "volume_id", "source_id", "project_id", "user_id"), TEXT),
        **dict.fromkeys(("queue", "attachment_id", "status"), TEXT),
        "state": one_of(list(OperationState)),
        "not_before": or_null(TIME),
        "cancel_requested": BOOLEAN,
        "waits_for": record(
            {"service": one_of(("volumed-scheduler", "volumed-volume")), "is_up": BOOLEAN},
            {"host": or_null(TEXT), "reason": or_null(TEXT)},
        ),
        "mode": one_of(("rw", "ro")),
        "error": or_null(named("Failure")),
        "snapshot_ids": list_of(UUID),
    },
)

#: The schemas that others name.
COMPONENTS: Final[Mapping[str, Schema]] = {
    "Error": {"type": "object", "additionalProperties": _FAULT, "minProperties": 1, "maxProperties": 1},
    "Failure": record({"type": TEXT, "message": TEXT}),
    "Link": record({"rel": one_of(("self", "bookmark", "next", "describedby")), "href": TEXT}, {"type": TEXT}),
    "Volume": _VOLUME,
    "VolumeSummary": record({"id": UUID, "name": or_null(TEXT), "links": _LINKS}),
    "AttachmentOfVolume": _ATTACHMENT_OF_VOLUME,
    "Snapshot": record(
        {
            **_SNAPSHOT_SUMMARY,
            "os-extended-snapshot-attributes:project_id": TEXT,
            "os-extended-snapshot-attributes:progress": TEXT,
        },
        {**_SNAPSHOT_LATER, "volumed:error": named("Failure")},
    ),
    "SnapshotSummary": record(_SNAPSHOT_SUMMARY, _SNAPSHOT_LATER),
    "Attachment": record(
        {
            **_ATTACHMENT_SUMMARY,
            "attach_mode": one_of(("rw", "ro")),
            "attached_at": TEXT,
            "detached_at": TEXT,
            "connection_info": _CONNECTION,
        },
        {"volumed:error": named("Failure")},
    ),
    "AttachmentSummary": record(_ATTACHMENT_SUMMARY),
    "VolumeType": record(
        {
            "id": UUID,
            "name": TEXT,
            "description": or_null(TEXT),
            "is_public": BOOLEAN,
            "os-volume-type-access:is_public": BOOLEAN,
        },
        {"extra_specs": TEXTS, "qos_specs_id": NULL},
    ),
    "OperationSummary": record(_OPERATION_SUMMARY),
    "Operation": record(
        {**_OPERATION_SUMMARY, "args": ANYTHING, "attempt": COUNT, "timeline": list_of(_STEP)},
        {
            "queue": TEXT,
            "lane": one_of(("short", "long", "idle")),
            "worker": or_null(TEXT),
            "claims": COUNT,
            "not_before": or_null(TIME),
            "tried": list_of(ANYTHING),
        },
    ),
    "Event": record(
        {
            "event_type": TEXT,
            "resource_type": TEXT,
            "resource_id": TEXT,
            "sequence": {"type": "integer", "minimum": 1},
            "operation_id": or_null(TEXT),
            "request_id": or_null(TEXT),
            "status": or_null(TEXT),
            "created_at": TIME,
        }
    ),
    "StreamedEvent": record(
        {
            "id": {"type": "integer", "minimum": 1},
            "event_type": TEXT,
            "resource_type": TEXT,
            "resource_id": TEXT,
            "sequence": {"type": "integer", "minimum": 1},
            "project_id": TEXT,
            "operation_id": or_null(TEXT),
            "request_id": or_null(TEXT),
            "payload": ANYTHING,
            "created_at": TIME,
        }
    ),
    "Reason": _REASON,
    "Candidate": record(
        {
            "host": TEXT,
            "passed": BOOLEAN,
            "filter": or_null(TEXT),
            "reason": or_null(TEXT),
            "weight": or_null(NUMBER),
            "weights": {"type": "object", "additionalProperties": NUMBER},
        }
    ),
    "Finding": record(
        {
            "id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "kind": TEXT,
            "subject_type": TEXT,
            "subject": TEXT,
            "evidence": TEXT,
            "repair": or_null(TEXT),
            "host": or_null(TEXT),
            "volume_id": or_null(TEXT),
        }
    ),
    "Version": record(
        {
            "id": {"const": "v3.0"},
            "status": {"const": "CURRENT"},
            "version": TEXT,
            "min_version": TEXT,
            "updated": TEXT,
            "links": _LINKS,
            "media-types": list_of(record({"base": TEXT, "type": TEXT})),
        }
    ),
    "Extension": record({"alias": TEXT, "name": TEXT, "description": TEXT, "updated": TEXT, "links": _LINKS}),
    "Service": _SERVICE,
    **_manageable("volume", {}),
    **_manageable("snapshot", {"source_reference": or_null(TEXTS)}),
    "QuotaSet": {"type": "object", "properties": {"id": TEXT}, "additionalProperties": _QUOTA_NUMBER},
}


def page(key: str, item: str, links: str) -> Schema:
    """One page of a list, with the link to the next one where there is one."""
    return record({key: list_of(named(item))}, {links: _LINKS, "count": since(microversions.COUNT, COUNT)})


VERSIONS: Final = only("versions", list_of(named("Version")))
EXTENSIONS: Final = only("extensions", list_of(named("Extension")))
EXTENSION: Final = only("extension", named("Extension"))
RESOURCE_FILTERS: Final = only("resource_filters", list_of(record({"resource": TEXT, "filters": list_of(TEXT)})))
HEALTH: Final = record({"status": one_of(("healthy", "unhealthy")), "reasons": list_of(TEXT)})
_LISTS: Final = dict.fromkeys(("servers", "security"), list_of(ANYTHING))
OPENAPI: Final = record({"openapi": TEXT, "info": ANYTHING, **_LISTS, "paths": ANYTHING, "components": ANYTHING})

VOLUME: Final = only("volume", named("Volume"))
VOLUME_SUMMARY: Final = only(
    "volume-summary",
    record(
        {"total_count": COUNT, "total_size": COUNT},
        {"metadata": since(microversions.SUMMARY_METADATA, {"type": "object", "additionalProperties": list_of(TEXT)})},
    ),
)
CONNECTION: Final = only("connection_info", record({"driver_volume_type": TEXT, "data": ANYTHING}))
METADATA: Final = only("metadata", TEXTS)
ONE_METADATUM: Final = only("meta", {**TEXTS, "minProperties": 1})
TIMELINE: Final = only(
    "timeline",
    record(
        {
            "volume_id": TEXT,
            "status": one_of((*VolumeStatus, "deleted")),
            "operations": list_of(named("Operation")),
            "events": list_of(named("Event")),
        }
    ),
)
PLACEMENT: Final = only(
    "placement",
    record(
        {
            "volume_id": TEXT,
            "operation_id": UUID,
            "state": one_of(list(OperationState)),
            "attempt": COUNT,
            "wait_reason": or_null(TEXT),
            "tried": list_of(ANYTHING),
            "error": or_null(named("Failure")),
            "chosen": or_null(TEXT),
            "counts": {"type": "object", "additionalProperties": INTEGER},
            "candidates": list_of(named("Candidate")),
        },
        {"considered": COUNT, "decided_at": TIME},
    ),
)

WHY: Final = only(
    "why",
    record(
        {
            "volume_id": TEXT,
            "status": one_of((*VolumeStatus, "deleted")),
            "findings": {**list_of(named("Reason")), "minItems": 1},
        }
    ),
)
EVENTS: Final = record({"events": list_of(named("StreamedEvent")), "position": COUNT}, {"events_links": _LINKS})

SNAPSHOT: Final = only("snapshot", named("Snapshot"))
SNAPSHOT_SUMMARY: Final = only("snapshot", named("SnapshotSummary"))
ATTACHMENT: Final = only("attachment", named("Attachment"))
ATTACHMENTS_LEFT: Final = only("attachments", list_of(named("AttachmentSummary")))

VOLUME_TYPE: Final = only("volume_type", named("VolumeType"))
VOLUME_TYPES: Final = record({"volume_types": list_of(named("VolumeType"))}, {"volume_type_links": _LINKS})
EXTRA_SPECS: Final = only("extra_specs", TEXTS)
EXTRA_SPEC: Final[Schema] = {**TEXTS, "minProperties": 1}

_EXAMINATION: Final[Mapping[str, Schema]] = {
    "findings": list_of(named("Finding")),
    "looked_at": list_of(TEXT),
    "not_looked_at": list_of(record({"host": TEXT, "reason": TEXT})),
}
_REPAIR: Final = record({"finding": named("Finding"), "operation_id": UUID})
EXAMINATION: Final = only("doctor", record(_EXAMINATION))
REPAIRS: Final = only("doctor", record({**_EXAMINATION, "repairs": list_of(_REPAIR)}))

OPERATION: Final = only("operation", named("Operation"))
SERVICES: Final = only("services", list_of(named("Service")))
SERVICE_CHANGED: Final = record(
    {"host": TEXT, "service": TEXT, "binary": TEXT, "disabled": BOOLEAN, "status": _ENABLED},
    {"disabled_reason": or_null(TEXT)},
)
QUOTA_SET: Final = only("quota_set", named("QuotaSet"))
QUOTA_CLASS_SET: Final = only("quota_class_set", named("QuotaSet"))
LIMITS: Final = only("limits", record({"rate": {"type": "array", "maxItems": 0}, "absolute": _ABSOLUTE_LIMITS}))
POOLS: Final = only("pools", list_of(record({"name": TEXT}, {"capabilities": ANYTHING})))
ZONES: Final = only(
    "availabilityZoneInfo", list_of(record({"zoneName": TEXT, "zoneState": only("available", BOOLEAN)}))
)
ERROR: Final = named("Error")

"""Rows as values: what ``db`` reads and the rooms above hand around.

Fields stand in the order of the table's columns. Times are microseconds since the epoch, by the database's clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """One service that reports, ``host`` being ``host@backend`` for a volume service."""

    id: str
    binary: str
    host: str
    topic: str
    availability_zone: str
    disabled: bool
    disabled_reason: str | None
    #: ``up``, ``starting`` or ``down``, as the service says it of itself.
    state: str
    #: Why it is not ``up``, for the operator.
    state_reason: str | None
    #: Changes with each start of the process.
    incarnation: str
    rpc_version: str
    report_count: int
    created_at: int
    updated_at: int
    #: The incarnation whose backend extends volumes that are attached; empty: it does not; None: nobody has said so.
    extends_in_use: str | None


@dataclass(frozen=True, slots=True)
class Volume:
    id: str
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    size: int  # GiB
    status: str
    availability_zone: str
    volume_type_id: str
    #: ``host@backend#pool``; None until placed.
    host: str | None
    #: The storage that the pool's allocation is counted on; None until placed.
    storage_id: str | None
    snapshot_id: str | None
    source_volid: str | None
    bootable: bool
    multiattach: bool
    metadata: dict[str, str]
    #: What the driver wants kept (never a secret).
    facts: Json
    #: Why the status is an error: ``{"type", "message"}``.
    error: Json | None
    created_at: int
    updated_at: int
    launched_at: int | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    id: str
    project_id: str
    user_id: str
    volume_id: str
    name: str | None
    description: str | None
    size: int  # GiB, of the volume when the snapshot was taken
    status: str
    volume_type_id: str
    metadata: dict[str, str]
    facts: Json
    error: Json | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Attachment:
    id: str
    project_id: str
    user_id: str
    volume_id: str
    instance_uuid: str | None
    attach_status: str
    #: ``rw`` or ``ro``.
    attach_mode: str
    mountpoint: str | None
    connector: Json | None
    #: What the connector needs to log in, without the secret.
    connection_info: Json | None
    #: CHAP credentials ``{"username", "password"}``, stored sealed before the first step; never logged.
    credentials: Mapping[str, Any] | None = field(repr=False)
    error: Json | None
    created_at: int
    updated_at: int
    attached_at: int | None


@dataclass(frozen=True, slots=True)
class VolumeType:
    id: str
    name: str
    description: str | None
    is_public: bool
    extra_specs: dict[str, str]
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One request that changes something, until it ends and for a while after."""

    id: str
    #: ``volume.create`` and the like: the keys of ``model.requests.CANCELLATIONS``.
    kind: str
    resource_type: str
    resource_id: str
    #: The volume the work is about (the resource itself, or what a snapshot or attachment belongs to).
    volume_id: str
    #: The resource that is only read and shared meanwhile (a clone's source, a snapshot's volume).
    source_id: str | None
    project_id: str
    user_id: str
    request_id: str
    #: Who takes it next: ``scheduler`` or ``host@backend``.
    queue: str
    state: str
    #: ``short``, ``long`` or ``idle``: which lane of workers runs it.
    lane: str
    #: The resource's id while the operation is live, NULL after: UNIQUE.
    live_key: str | None
    #: The incarnation that runs it.
    worker: str | None
    claim_token: str | None
    epoch: int
    #: Placements so far; part of the claim.
    attempt: int
    claims: int
    cancel_requested: bool
    #: Arguments of the request: ids and small plain values, never a secret.
    args: Json
    #: What earlier attempts ended with: ``[{"host", "storage_id", "error"}]``.
    tried: list[Json]
    #: The last placement decision, explained.
    placement: Json | None
    #: ``{"type", "message"}`` of the failure, or of why it is to be cancelled.
    error: Json | None
    #: Steps with start, end and outcome; times in microseconds.
    timeline: list[Json]
    wait_reason: str | None
    not_before: int
    created_at: int
    updated_at: int
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """One status change, to be published."""

    id: int
    resource_type: str
    resource_id: str
    #: Counts from 1 within the resource.
    sequence: int
    project_id: str
    #: ``volume.create.start`` and the like.
    event_type: str
    operation_id: str | None
    request_id: str | None
    payload: Json
    created_at: int
    published: bool
    #: Its place in the stream of all events; None until it is numbered.
    position: int | None

"""The configuration as the handlers read it on each request: plain values, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from volumed.api.streams import Bounds


@dataclass(frozen=True, slots=True)
class Settings:
    max_limit: int
    max_body: int
    max_volume_size: int
    default_volume_type: str
    default_zone: str
    attach_timeout: float
    #: URL under which clients see the API; None: as they ask.
    public_endpoint: str | None
    #: The configuration's default limits by resource.
    quota_defaults: Mapping[str, int]
    per_volume_gigabytes: int
    count_snapshot_gigabytes: bool
    idempotency_retention: float
    service_down_time: float
    streams: Bounds
    #: Requests a second and project; 0: any number.
    rate_limit: float

    @classmethod
    def read(cls, conf: Any) -> "Settings":
        """The settings of ``conf``."""
        quota = conf.quota
        return cls(
            max_limit=conf.api.max_limit,
            max_body=conf.api.max_request_body_size,
            max_volume_size=conf.api.max_volume_size,
            default_volume_type=conf.api.default_volume_type,
            default_zone=conf.storage_availability_zone,
            attach_timeout=conf.api.attach_timeout,
            public_endpoint=conf.api.public_endpoint,
            quota_defaults={"volumes": quota.volumes, "gigabytes": quota.gigabytes, "snapshots": quota.snapshots},
            per_volume_gigabytes=quota.per_volume_gigabytes,
            count_snapshot_gigabytes=not quota.no_snapshot_gb_quota,
            idempotency_retention=conf.operations.idempotency_retention,
            service_down_time=conf.service_down_time,
            streams=Bounds(conf.api.event_streams, conf.api.event_stream_seconds, conf.api.event_heartbeat),
            rate_limit=conf.api.rate_limit,
        )

"""The tables, as SQLAlchemy Core sees them. Columns stand in the order of the fields in ``model.records``.

Times are microseconds since the epoch (BIGINT): the same on SQLite, PostgreSQL and MariaDB. ``live_key`` stands for a
partial unique index, which MariaDB has not: NULL values never collide.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_LONG_JSON = JSON(none_as_null=True).with_variant(mysql.JSON(none_as_null=True), "mysql", "mariadb")
_BIG_ID = BigInteger().with_variant(Integer(), "sqlite")


def _id(name: str = "id", **options: bool) -> Column[str]:
    return Column(name, String(36), **options)  # type: ignore[arg-type]


def _times() -> tuple[Column[int], Column[int]]:
    return Column("created_at", BigInteger, nullable=False), Column("updated_at", BigInteger, nullable=False)


deployment = Table(
    "deployment",
    METADATA,
    Column("singleton", Integer, primary_key=True, autoincrement=False),
    Column("id", String(36), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

services = Table(
    "services",
    METADATA,
    _id(primary_key=True),
    Column("binary", String(64), nullable=False),
    Column("host", String(255), nullable=False),
    Column("topic", String(64), nullable=False),
    Column("availability_zone", String(255), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("disabled_reason", String(255)),
    Column("state", String(16), nullable=False),
    Column("state_reason", Text),
    Column("incarnation", String(36), nullable=False),
    Column("rpc_version", String(16), nullable=False),
    Column("report_count", BigInteger, nullable=False),
    *_times(),
    Column("extends_in_use", String(36)),
    UniqueConstraint("host", "binary"),
)

volume_types = Table(
    "volume_types",
    METADATA,
    _id(primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", String(255)),
    Column("is_public", Boolean, nullable=False),
    Column("extra_specs", _LONG_JSON, nullable=False),
    *_times(),
)

volumes = Table(
    "volumes",
    METADATA,
    _id(primary_key=True),
    Column("project_id", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("name", String(255)),
    Column("description", Text),
    Column("size", Integer, nullable=False),
    Column("status", String(32), nullable=False),
    Column("availability_zone", String(255), nullable=False),
    Column("volume_type_id", String(36), ForeignKey("volume_types.id"), nullable=False),
    Column("host", String(255)),
    Column("storage_id", String(255)),
    Column("snapshot_id", String(36)),
    Column("source_volid", String(36)),
    Column("bootable", Boolean, nullable=False),
    Column("multiattach", Boolean, nullable=False),
    Column("metadata", _LONG_JSON, nullable=False),
    Column("facts", _LONG_JSON, nullable=False),
    Column("error", _LONG_JSON),
    *_times(),
    Column("launched_at", BigInteger),
    Index(None, "project_id", "created_at", "id"),
    Index(None, "created_at", "id"),
    Index(None, "host", "status"),
    Index(None, "storage_id"),
    Index(None, "status", "updated_at"),
    Index(None, "volume_type_id"),
)

snapshots = Table(
    "snapshots",
    METADATA,
    _id(primary_key=True),
    Column("project_id", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("volume_id", String(36), ForeignKey("volumes.id"), nullable=False),
    Column("name", String(255)),
    Column("description", Text),
    Column("size", Integer, nullable=False),
    Column("status", String(32), nullable=False),
    Column("volume_type_id", String(36), nullable=False),
    Column("metadata", _LONG_JSON, nullable=False),
    Column("facts", _LONG_JSON, nullable=False),
    Column("error", _LONG_JSON),
    *_times(),
    Index(None, "project_id", "created_at", "id"),
    Index(None, "created_at", "id"),
    Index(None, "volume_id"),
    Index(None, "status", "updated_at"),
)

attachments = Table(
    "attachments",
    METADATA,
    _id(primary_key=True),
    Column("project_id", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("volume_id", String(36), ForeignKey("volumes.id"), nullable=False),
    Column("instance_uuid", String(36)),
    Column("attach_status", String(32), nullable=False),
    Column("attach_mode", String(2), nullable=False),
    Column("mountpoint", String(255)),
    Column("connector", _LONG_JSON),
    Column("connection_info", _LONG_JSON),
    Column("credentials", _LONG_JSON),
    Column("error", _LONG_JSON),
    *_times(),
    Column("attached_at", BigInteger),
    Index(None, "volume_id"),
    Index(None, "project_id", "created_at", "id"),
    Index(None, "instance_uuid"),
)

operations = Table(
    "operations",
    METADATA,
    _id(primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("resource_type", String(16), nullable=False),
    Column("resource_id", String(36), nullable=False),
    Column("volume_id", String(36), nullable=False),
    Column("source_id", String(36)),
    Column("project_id", String(255), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("queue", String(255), nullable=False),
    Column("state", String(16), nullable=False),
    Column("lane", String(8), nullable=False),
    Column("live_key", String(36), unique=True),
    Column("worker", String(36)),
    Column("claim_token", String(36)),
    Column("epoch", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("claims", Integer, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("args", _LONG_JSON, nullable=False),
    Column("tried", _LONG_JSON, nullable=False),
    Column("placement", _LONG_JSON),
    Column("error", _LONG_JSON),
    Column("timeline", _LONG_JSON, nullable=False),
    Column("wait_reason", Text),
    Column("not_before", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index(None, "queue", "state", "updated_at"),
    Index(None, "source_id", "live_key"),
    Index(None, "volume_id", "created_at"),
    Index(None, "resource_id", "created_at"),
    Index(None, "project_id", "created_at", "id"),
    Index(None, "state", "created_at", "id"),
    Index(None, "created_at", "id"),
    Index(None, "ended_at"),
)

events = Table(
    "events",
    METADATA,
    Column("id", _BIG_ID, primary_key=True, autoincrement=True),
    Column("resource_type", String(16), nullable=False),
    Column("resource_id", String(36), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("project_id", String(255), nullable=False),
    Column("event_type", String(64), nullable=False),
    Column("operation_id", String(36)),
    Column("request_id", String(64)),
    Column("payload", _LONG_JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("published", Boolean, nullable=False),
    #: Its place in the stream of all events; NULL until somebody has numbered it.
    Column("position", BigInteger),
    UniqueConstraint("resource_id", "sequence"),
    Index(None, "published", "id"),
    Index(None, "operation_id"),
    Index(None, "created_at"),
    Index(None, "position", unique=True),
    Index(None, "project_id", "position"),
)

#: The last position that was given, and the last one that was forgotten: one row, whose lock orders the numbering.
event_positions = Table(
    "event_positions",
    METADATA,
    Column("singleton", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("forgotten", BigInteger, nullable=False),
)

#: What WE use of a storage, whichever services reach it. ``allocated`` counts GiB placed and not yet freed.
pools = Table(
    "pools",
    METADATA,
    Column("storage_id", String(255), primary_key=True),
    Column("allocated", BigInteger, nullable=False),
    Column("volumes", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

#: One row a project and resource: use and limit together, so that check and change are one statement.
#: ``hard_limit`` NULL: the default of the resource applies.
quotas = Table(
    "quotas",
    METADATA,
    Column("project_id", String(255), primary_key=True),
    Column("resource", String(255), primary_key=True),
    Column("in_use", BigInteger, nullable=False),
    Column("hard_limit", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
)

#: Defaults that replace the configuration's, by resource (``volumes``, ``gigabytes_TYPE``, ...).
quota_defaults = Table(
    "quota_defaults",
    METADATA,
    Column("resource", String(255), primary_key=True),
    Column("hard_limit", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    METADATA,
    Column("project_id", String(191), primary_key=True),
    Column("user_id", String(191), primary_key=True),
    Column("key", String(191), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("resource_id", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "created_at"),
)

#: Who does a task that one process at a time may do (publishing events, pruning).
leaders = Table(
    "leaders",
    METADATA,
    Column("task", String(64), primary_key=True),
    Column("holder", String(36), nullable=False),
    Column("until", BigInteger, nullable=False),
)

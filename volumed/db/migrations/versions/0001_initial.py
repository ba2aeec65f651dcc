"""All tables of the first release.

Each statement may find its work done: on MariaDB what was interrupted before its end is run again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# MariaDB: names, ids and keys are equal when they are equal, in case, accents and spaces at the end too.
EXACT = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_nopad_bin"}
OPTIONS = {f"{dialect}_{name}": value for dialect in ("mysql", "mariadb") for name, value in EXACT.items()}

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_deployment()
    _create_events()
    _create_idempotency_keys()
    _create_leaders()
    _create_operations()
    _create_pools()
    _create_quota_defaults()
    _create_quotas()
    _create_services()
    _create_volume_types()
    _create_volumes()
    _create_attachments()
    _create_snapshots()


def _create(name: str, *parts: sa.schema.SchemaItem) -> sa.Table:
    return op.create_table(name, *parts, if_not_exists=True, **OPTIONS)


def _index(name: str, table: str, columns: list[str]) -> None:
    op.create_index(name, table, columns, if_not_exists=True)


def _create_deployment() -> None:
    _create(
        "deployment",
        sa.Column("singleton", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_deployment")),
    )


def _create_events() -> None:
    _create(
        "events",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("resource_type", sa.String(16), nullable=False),
        sa.Column("resource_id", sa.String(36), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("event_type", sa.String(64), nullable=False),
        sa.Column("operation_id", sa.String(36)),
        sa.Column("request_id", sa.String(64)),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("resource_id", "sequence", name=op.f("uq_events_resource_id_sequence")),
    )
    _index(op.f("ix_events_created_at"), "events", ["created_at"])
    _index(op.f("ix_events_operation_id"), "events", ["operation_id"])
    _index(op.f("ix_events_published_id"), "events", ["published", "id"])


def _create_idempotency_keys() -> None:
    _create(
        "idempotency_keys",
        sa.Column("project_id", sa.String(191), nullable=False),
        sa.Column("user_id", sa.String(191), nullable=False),
        sa.Column("key", sa.String(191), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("resource_type", sa.String(32), nullable=False),
        sa.Column("resource_id", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "user_id", "key", name=op.f("pk_idempotency_keys")),
    )
    _index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])


def _create_leaders() -> None:
    _create(
        "leaders",
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("holder", sa.String(36), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task", name=op.f("pk_leaders")),
    )


def _create_operations() -> None:
    _create(
        "operations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("resource_type", sa.String(16), nullable=False),
        sa.Column("resource_id", sa.String(36), nullable=False),
        sa.Column("volume_id", sa.String(36), nullable=False),
        sa.Column("source_id", sa.String(36)),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("queue", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("lane", sa.String(8), nullable=False),
        sa.Column("live_key", sa.String(36)),
        sa.Column("worker", sa.String(36)),
        sa.Column("claim_token", sa.String(36)),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("args", sa.JSON(), nullable=False),
        sa.Column("tried", sa.JSON(), nullable=False),
        sa.Column("placement", sa.JSON()),
        sa.Column("error", sa.JSON()),
        sa.Column("timeline", sa.JSON(), nullable=False),
        sa.Column("wait_reason", sa.Text()),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
        sa.UniqueConstraint("live_key", name=op.f("uq_operations_live_key")),
    )
    _index(op.f("ix_operations_created_at_id"), "operations", ["created_at", "id"])
    _index(op.f("ix_operations_ended_at"), "operations", ["ended_at"])
    _index(op.f("ix_operations_project_id_created_at_id"), "operations", ["project_id", "created_at", "id"])
    _index(op.f("ix_operations_queue_state_updated_at"), "operations", ["queue", "state", "updated_at"])
    _index(op.f("ix_operations_resource_id_created_at"), "operations", ["resource_id", "created_at"])
    _index(op.f("ix_operations_source_id_live_key"), "operations", ["source_id", "live_key"])
    _index(op.f("ix_operations_state_created_at_id"), "operations", ["state", "created_at", "id"])
    _index(op.f("ix_operations_volume_id_created_at"), "operations", ["volume_id", "created_at"])


def _create_pools() -> None:
    _create(
        "pools",
        sa.Column("storage_id", sa.String(255), nullable=False),
        sa.Column("allocated", sa.BigInteger(), nullable=False),
        sa.Column("volumes", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("storage_id", name=op.f("pk_pools")),
    )


def _create_quota_defaults() -> None:
    _create(
        "quota_defaults",
        sa.Column("resource", sa.String(255), nullable=False),
        sa.Column("hard_limit", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("resource", name=op.f("pk_quota_defaults")),
    )


def _create_quotas() -> None:
    _create(
        "quotas",
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("resource", sa.String(255), nullable=False),
        sa.Column("in_use", sa.BigInteger(), nullable=False),
        sa.Column("hard_limit", sa.BigInteger()),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", name=op.f("pk_quotas")),
    )


def _create_services() -> None:
    _create(
        "services",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("binary", sa.String(64), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("topic", sa.String(64), nullable=False),
        sa.Column("availability_zone", sa.String(255), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(255)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_reason", sa.Text()),
        sa.Column("incarnation", sa.String(36), nullable=False),
        sa.Column("rpc_version", sa.String(16), nullable=False),
        sa.Column("report_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_services")),
        sa.UniqueConstraint("host", "binary", name=op.f("uq_services_host_binary")),
    )


def _create_volume_types() -> None:
    _create(
        "volume_types",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255)),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("extra_specs", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume_types")),
        sa.UniqueConstraint("name", name=op.f("uq_volume_types_name")),
    )


def _create_volumes() -> None:
    _create(
        "volumes",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255)),
        sa.Column("description", sa.Text()),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("availability_zone", sa.String(255), nullable=False),
        sa.Column("volume_type_id", sa.String(36), nullable=False),
        sa.Column("host", sa.String(255)),
        sa.Column("storage_id", sa.String(255)),
        sa.Column("snapshot_id", sa.String(36)),
        sa.Column("source_volid", sa.String(36)),
        sa.Column("bootable", sa.Boolean(), nullable=False),
        sa.Column("multiattach", sa.Boolean(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("launched_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["volume_type_id"], ["volume_types.id"], name=op.f("fk_volumes_volume_type_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volumes")),
    )
    _index(op.f("ix_volumes_created_at_id"), "volumes", ["created_at", "id"])
    _index(op.f("ix_volumes_host_status"), "volumes", ["host", "status"])
    _index(op.f("ix_volumes_project_id_created_at_id"), "volumes", ["project_id", "created_at", "id"])
    _index(op.f("ix_volumes_status_updated_at"), "volumes", ["status", "updated_at"])
    _index(op.f("ix_volumes_storage_id"), "volumes", ["storage_id"])
    _index(op.f("ix_volumes_volume_type_id"), "volumes", ["volume_type_id"])


def _create_attachments() -> None:
    _create(
        "attachments",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("volume_id", sa.String(36), nullable=False),
        sa.Column("instance_uuid", sa.String(36)),
        sa.Column("attach_status", sa.String(32), nullable=False),
        sa.Column("attach_mode", sa.String(2), nullable=False),
        sa.Column("mountpoint", sa.String(255)),
        sa.Column("connector", sa.JSON()),
        sa.Column("connection_info", sa.JSON()),
        sa.Column("credentials", sa.JSON()),
        sa.Column("error", sa.JSON()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("attached_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["volume_id"], ["volumes.id"], name=op.f("fk_attachments_volume_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
    )
    _index(op.f("ix_attachments_instance_uuid"), "attachments", ["instance_uuid"])
    _index(op.f("ix_attachments_project_id_created_at_id"), "attachments", ["project_id", "created_at", "id"])
    _index(op.f("ix_attachments_volume_id"), "attachments", ["volume_id"])


def _create_snapshots() -> None:
    _create(
        "snapshots",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("volume_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255)),
        sa.Column("description", sa.Text()),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("volume_type_id", sa.String(36), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["volume_id"], ["volumes.id"], name=op.f("fk_snapshots_volume_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshots")),
    )
    _index(op.f("ix_snapshots_created_at_id"), "snapshots", ["created_at", "id"])
    _index(op.f("ix_snapshots_project_id_created_at_id"), "snapshots", ["project_id", "created_at", "id"])
    _index(op.f("ix_snapshots_status_updated_at"), "snapshots", ["status", "updated_at"])
    _index(op.f("ix_snapshots_volume_id"), "snapshots", ["volume_id"])

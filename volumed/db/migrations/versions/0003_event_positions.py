"""Every event gets a position in the one stream of all events; those that are there get it with the first look.

Each statement may find its work done: on MariaDB what was interrupted before its end is run again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    positions = op.create_table(
        "event_positions",
        sa.Column("singleton", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("forgotten", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_event_positions")),
        if_not_exists=True,
    )
    if op.get_bind().execute(sa.select(positions.c.last)).first() is None:
        op.bulk_insert(positions, [{"singleton": 1, "last": 0, "forgotten": 0}])
    if "position" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("events")}:
        op.add_column("events", sa.Column("position", sa.BigInteger()))
    op.create_index(op.f("ix_events_position"), "events", ["position"], unique=True, if_not_exists=True)
    op.create_index(op.f("ix_events_project_id_position"), "events", ["project_id", "position"], if_not_exists=True)

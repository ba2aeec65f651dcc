"""Each volume service says whether its backend extends volumes that are attached; those of the release before do not.

The statement may find its work done: on MariaDB what was interrupted before its end is run again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if "extends_in_use" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("services")}:
        op.add_column("services", sa.Column("extends_in_use", sa.String(36)))

"""Secrets are sealed from here on: no column changes, and an older release, which could not read them, refuses.

What is plain is sealed by the next start (``volumed.launch.keys``), which has the key.
"""

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing but the number."""

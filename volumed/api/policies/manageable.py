"""Who may take over what others made, see what there is of it, and give volumes and snapshots away."""

from volumed.api.policies.rules import ADMIN, Rule

LIST_VOLUMES = "volume_extension:list_manageable"
MANAGE = "volume_extension:volume_manage"
UNMANAGE = "volume_extension:volume_unmanage"
LIST_SNAPSHOTS = "snapshot_extension:list_manageable"
MANAGE_SNAPSHOT = "snapshot_extension:snapshot_manage"
UNMANAGE_SNAPSHOT = "snapshot_extension:snapshot_unmanage"

RULES = (
    Rule(
        LIST_VOLUMES,
        ADMIN,
        "List what could be managed as a volume.",
        ("GET /manageable_volumes", "GET /manageable_volumes/detail"),
    ),
    Rule(MANAGE, ADMIN, "Manage what others made as a volume.", ("POST /manageable_volumes",)),
    Rule(UNMANAGE, ADMIN, "Give a volume away with its data.", ("POST /volumes/{volume_id}/action",)),
    Rule(
        LIST_SNAPSHOTS,
        ADMIN,
        "List what could be managed as a snapshot.",
        ("GET /manageable_snapshots", "GET /manageable_snapshots/detail"),
    ),
    Rule(MANAGE_SNAPSHOT, ADMIN, "Manage what others made as a snapshot.", ("POST /manageable_snapshots",)),
    Rule(UNMANAGE_SNAPSHOT, ADMIN, "Give a snapshot away with its data.", ("POST /snapshots/{snapshot_id}/action",)),
)

"""Who may do what with snapshots."""

from volumed.api.policies.rules import ADMIN, MEMBER, READER, Rule

CREATE = "volume:create_snapshot"
GET = "volume:get_snapshot"
GET_ALL = "volume:get_all_snapshots"
ALL_PROJECTS = "volume:get_all_snapshots_projects"
UPDATE = "volume:update_snapshot"
DELETE = "volume:delete_snapshot"
RESET = "volume_extension:snapshot_admin_actions:reset_status"
METADATA_READ = "volume:get_snapshot_metadata"
METADATA = "volume:update_snapshot_metadata"
METADATA_DELETE = "volume:delete_snapshot_metadata"

RULES = (
    Rule(CREATE, MEMBER, "Take a snapshot.", ("POST /snapshots",)),
    Rule(GET, READER, "Show a snapshot.", ("GET /snapshots/{snapshot_id}",)),
    Rule(GET_ALL, READER, "List snapshots.", ("GET /snapshots", "GET /snapshots/detail")),
    Rule(ALL_PROJECTS, ADMIN, "List snapshots of every project.", ("GET /snapshots?all_tenants=1",)),
    Rule(UPDATE, MEMBER, "Change a snapshot's name and description.", ("PUT /snapshots/{snapshot_id}",)),
    Rule(DELETE, MEMBER, "Delete a snapshot.", ("DELETE /snapshots/{snapshot_id}",)),
    Rule(RESET, ADMIN, "Set a snapshot's status.", ("POST /snapshots/{snapshot_id}/action",)),
    Rule(METADATA_READ, READER, "Show a snapshot's metadata.", ("GET /snapshots/{snapshot_id}/metadata",)),
    Rule(
        METADATA,
        MEMBER,
        "Change a snapshot's metadata.",
        ("POST /snapshots/{snapshot_id}/metadata", "PUT /snapshots/{snapshot_id}/metadata"),
    ),
    Rule(METADATA_DELETE, MEMBER, "Remove metadata.", ("DELETE /snapshots/{snapshot_id}/metadata/{key}",)),
)

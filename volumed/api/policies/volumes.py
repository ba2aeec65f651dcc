"""Who may do what with volumes."""

from volumed.api.policies.rules import ADMIN, MEMBER, READER, Rule

CREATE = "volume:create"
GET = "volume:get"
GET_ALL = "volume:get_all"
ALL_PROJECTS = "volume:get_all_projects"
UPDATE = "volume:update"
DELETE = "volume:delete"
FORCE_DELETE = "volume_extension:volume_admin_actions:force_delete"
HOST = "volume_extension:volume_host_attribute"
METADATA = "volume:update_volume_metadata"
METADATA_READ = "volume:get_volume_metadata"
METADATA_DELETE = "volume:delete_volume_metadata"
TIMELINE = "volumed:volume_timeline"
PLACEMENT = "volumed:volume_placement"
WHY = "volumed:volume_why"

RULES = (
    Rule(CREATE, MEMBER, "Create a volume.", ("POST /volumes",)),
    Rule(GET, READER, "Show a volume.", ("GET /volumes/{volume_id}",)),
    Rule(
        GET_ALL,
        READER,
        "List or sum up volumes.",
        ("GET /volumes", "GET /volumes/detail", "GET /volumes/summary"),
    ),
    Rule(ALL_PROJECTS, ADMIN, "List volumes of every project.", ("GET /volumes?all_tenants=1",)),
    Rule(UPDATE, MEMBER, "Change a volume's name and description.", ("PUT /volumes/{volume_id}",)),
    Rule(DELETE, MEMBER, "Delete a volume.", ("DELETE /volumes/{volume_id}",)),
    Rule(
        FORCE_DELETE,
        ADMIN,
        "Delete a volume in a status in which others may not.",
        ("POST /volumes/{volume_id}/action", "DELETE /volumes/{volume_id}?force=true"),
    ),
    Rule(HOST, ADMIN, "See on which backend a volume is.", ("GET /volumes/{volume_id}", "GET /volumes/detail")),
    Rule(METADATA_READ, READER, "Show a volume's metadata.", ("GET /volumes/{volume_id}/metadata",)),
    Rule(
        METADATA,
        MEMBER,
        "Change a volume's metadata.",
        ("POST /volumes/{volume_id}/metadata", "PUT /volumes/{volume_id}/metadata"),
    ),
    Rule(METADATA_DELETE, MEMBER, "Remove metadata.", ("DELETE /volumes/{volume_id}/metadata/{key}",)),
    Rule(TIMELINE, READER, "See what became of a volume's requests.", ("GET /volumes/{volume_id}/timeline",)),
    Rule(PLACEMENT, READER, "See why a volume is where it is.", ("GET /volumes/{volume_id}/placement",)),
    Rule(WHY, READER, "See what holds a volume.", ("GET /volumes/{volume_id}/why",)),
)

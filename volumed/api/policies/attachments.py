"""Who may do what with attachments."""

from volumed.api.policies.rules import ADMIN, ADMIN_OR_OWNER, Rule

CREATE = "volume:attachment_create"
GET = "volume:attachment_get"
GET_ALL = "volume:attachment_get_all"
ALL_PROJECTS = "volume:attachment_get_all_projects"
UPDATE = "volume:attachment_update"
COMPLETE = "volume:attachment_complete"
DELETE = "volume:attachment_delete"

RULES = (
    Rule(CREATE, ADMIN_OR_OWNER, "Reserve a volume, or let a connector in.", ("POST /attachments",)),
    Rule(GET, ADMIN_OR_OWNER, "Show an attachment with its credentials.", ("GET /attachments/{attachment_id}",)),
    Rule(GET_ALL, ADMIN_OR_OWNER, "List attachments.", ("GET /attachments", "GET /attachments/detail")),
    Rule(ALL_PROJECTS, ADMIN, "List attachments of every project.", ("GET /attachments?all_tenants=1",)),
    Rule(UPDATE, ADMIN_OR_OWNER, "Let a connector in.", ("PUT /attachments/{attachment_id}",)),
    Rule(COMPLETE, ADMIN_OR_OWNER, "Say that the client is in.", ("POST /attachments/{attachment_id}/action",)),
    Rule(DELETE, ADMIN_OR_OWNER, "End an attachment.", ("DELETE /attachments/{attachment_id}",)),
)

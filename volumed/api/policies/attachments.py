"""Who may do what with attachments."""

from volumed.api.policies.rules import ADMIN, MEMBER, READER, Rule

CREATE = "volume:attachment_create"
GET = "volume:attachment_get"
GET_ALL = "volume:attachment_get_all"
ALL_PROJECTS = "volume:attachment_get_all_projects"
UPDATE = "volume:attachment_update"
COMPLETE = "volume:attachment_complete"
DELETE = "volume:attachment_delete"

RULES = (
    Rule(CREATE, MEMBER, "Reserve a volume, or let a connector in.", ("POST /attachments",)),
    Rule(
        GET,
        MEMBER,
        "Show an attachment with its credentials, which let a client write.",
        ("GET /attachments/{attachment_id}",),
    ),
    Rule(GET_ALL, READER, "List attachments.", ("GET /attachments", "GET /attachments/detail")),
    Rule(ALL_PROJECTS, ADMIN, "List attachments of every project.", ("GET /attachments?all_tenants=1",)),
    Rule(UPDATE, MEMBER, "Let a connector in.", ("PUT /attachments/{attachment_id}",)),
    Rule(COMPLETE, MEMBER, "Say that the client is in.", ("POST /attachments/{attachment_id}/action",)),
    Rule(DELETE, MEMBER, "End an attachment.", ("DELETE /attachments/{attachment_id}",)),
)

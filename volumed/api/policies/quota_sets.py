"""Who may see and set quotas."""

from volumed.api.policies.rules import ADMIN, READER, Rule

SHOW = "volume_extension:quotas:show"
UPDATE = "volume_extension:quotas:update"
DELETE = "volume_extension:quotas:delete"
CLASS_SHOW = "volume_extension:quota_classes:get"
CLASS_UPDATE = "volume_extension:quota_classes:update"

RULES = (
    Rule(
        SHOW,
        READER,
        "Show a project's quotas, their use and their defaults.",
        ("GET /os-quota-sets/{project_id}", "GET /os-quota-sets/{project_id}/defaults"),
    ),
    Rule(UPDATE, ADMIN, "Set a project's quotas.", ("PUT /os-quota-sets/{project_id}",)),
    Rule(DELETE, ADMIN, "Let the defaults apply again.", ("DELETE /os-quota-sets/{project_id}",)),
    Rule(CLASS_SHOW, ADMIN, "Show the defaults.", ("GET /os-quota-class-sets/default",)),
    Rule(CLASS_UPDATE, ADMIN, "Set the defaults.", ("PUT /os-quota-class-sets/default",)),
)

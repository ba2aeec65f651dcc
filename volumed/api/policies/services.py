"""Who may see and disable services."""

from volumed.api.policies.rules import ADMIN, Rule

GET_ALL = "volume_extension:services:index"
UPDATE = "volume_extension:services:update"

RULES = (
    Rule(GET_ALL, ADMIN, "List services.", ("GET /os-services",)),
    Rule(
        UPDATE,
        ADMIN,
        "Enable or disable a service.",
        ("PUT /os-services/enable", "PUT /os-services/disable", "PUT /os-services/disable-log-reason"),
    ),
)

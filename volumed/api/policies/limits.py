"""Who may see limits."""

from volumed.api.policies.rules import ADMIN, READER, Rule

GET = "limits_extension:used_limits"
OF_PROJECT = "volumed:limits_of_project"

RULES = (
    Rule(GET, READER, "Show a project's limits and their use.", ("GET /limits",)),
    Rule(OF_PROJECT, ADMIN, "Show those of another project.", ("GET /limits?project_id=",)),
)

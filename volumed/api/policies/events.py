"""Who may see events."""

from volumed.api.policies.rules import ADMIN, READER, Rule

GET_ALL = "volumed:event_get_all"
ALL_PROJECTS = "volumed:event_get_all_projects"

RULES = (
    Rule(GET_ALL, READER, "List events, or follow them.", ("GET /events",)),
    Rule(ALL_PROJECTS, ADMIN, "List or follow the events of every project.", ("GET /events?all_tenants=1",)),
)

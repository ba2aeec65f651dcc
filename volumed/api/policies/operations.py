"""Who may see operations."""

from volumed.api.policies.rules import ADMIN, ADMIN_OR_OWNER, Rule

GET = "volumed:operation_get"
GET_ALL = "volumed:operation_get_all"
ALL_PROJECTS = "volumed:operation_get_all_projects"
QUEUE = "volumed:operation_queue"

RULES = (
    Rule(GET, ADMIN_OR_OWNER, "Show an operation.", ("GET /operations/{operation_id}",)),
    Rule(GET_ALL, ADMIN_OR_OWNER, "List operations.", ("GET /operations",)),
    Rule(ALL_PROJECTS, ADMIN, "List operations of every project.", ("GET /operations?all_tenants=1",)),
    Rule(QUEUE, ADMIN, "See which service has an operation and where it was tried.", ("GET /operations",)),
)

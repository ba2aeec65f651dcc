"""Who may see operations, cancel them, and have them done again."""

from volumed.api.policies.rules import ADMIN, MEMBER, READER, Rule

GET = "volumed:operation_get"
GET_ALL = "volumed:operation_get_all"
ALL_PROJECTS = "volumed:operation_get_all_projects"
QUEUE = "volumed:operation_queue"
CANCEL = "volumed:operation_cancel"
RETRY = "volumed:operation_retry"
RETRY_ADMIN = "volumed:operation_retry_of_administrators"

#: Kinds of operation that only administrators ask for.
OF_ADMINISTRATORS = frozenset(
    {"volume.reset", "snapshot.reset", "volume.unmanage", "snapshot.unmanage", "doctor.repair"}
)

_ACTION = ("POST /operations/{operation_id}/action",)

RULES = (
    Rule(GET, READER, "Show an operation.", ("GET /operations/{operation_id}",)),
    Rule(GET_ALL, READER, "List operations.", ("GET /operations",)),
    Rule(ALL_PROJECTS, ADMIN, "List operations of every project.", ("GET /operations?all_tenants=1",)),
    Rule(QUEUE, ADMIN, "See which service has an operation and where it was tried.", ("GET /operations",)),
    Rule(CANCEL, MEMBER, "Cancel an operation.", _ACTION),
    Rule(RETRY, MEMBER, "Do a failed operation again.", _ACTION),
    Rule(RETRY_ADMIN, ADMIN, "Do a failed reset, unmanage or repair again.", _ACTION),
)

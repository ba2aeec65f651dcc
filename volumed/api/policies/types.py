"""Who may do what with volume types."""

from volumed.api.policies.rules import ADMIN, Rule

ANYBODY = ""

GET = "volume_extension:type_get"
GET_ALL = "volume_extension:type_get_all"
CREATE = "volume_extension:type_create"
UPDATE = "volume_extension:type_update"
DELETE = "volume_extension:type_delete"
PRIVATE = "volumed:type_private"
SPECS_READ = "volume_extension:types_extra_specs:index"
SPECS_CREATE = "volume_extension:types_extra_specs:create"
SPECS_UPDATE = "volume_extension:types_extra_specs:update"
SPECS_DELETE = "volume_extension:types_extra_specs:delete"

RULES = (
    Rule(GET, ANYBODY, "Show a type.", ("GET /types/{type_id}",)),
    Rule(GET_ALL, ANYBODY, "List types.", ("GET /types",)),
    Rule(CREATE, ADMIN, "Create a type.", ("POST /types",)),
    Rule(UPDATE, ADMIN, "Change a type.", ("PUT /types/{type_id}",)),
    Rule(DELETE, ADMIN, "Delete a type.", ("DELETE /types/{type_id}",)),
    Rule(PRIVATE, ADMIN, "See types that are not public.", ("GET /types",)),
    Rule(SPECS_READ, ADMIN, "See a type's extra specs.", ("GET /types/{type_id}/extra_specs",)),
    Rule(SPECS_CREATE, ADMIN, "Add extra specs.", ("POST /types/{type_id}/extra_specs",)),
    Rule(SPECS_UPDATE, ADMIN, "Change an extra spec.", ("PUT /types/{type_id}/extra_specs/{key}",)),
    Rule(SPECS_DELETE, ADMIN, "Remove an extra spec.", ("DELETE /types/{type_id}/extra_specs/{key}",)),
)

"""Who may ask the doctor."""

from volumed.api.policies.rules import ADMIN, Rule

LOOK = "volumed:doctor_look"
REPAIR = "volumed:doctor_repair"

RULES = (
    Rule(LOOK, ADMIN, "Look for differences between rows and backends.", ("GET /doctor",)),
    Rule(REPAIR, ADMIN, "Repair what was found.", ("POST /doctor",)),
)

"""Who may see pools."""

from volumed.api.policies.rules import ADMIN, Rule

GET_ALL = "scheduler_extension:scheduler_stats:get_pools"

RULES = (Rule(GET_ALL, ADMIN, "List pools and what they can.", ("GET /scheduler-stats/get_pools",)),)

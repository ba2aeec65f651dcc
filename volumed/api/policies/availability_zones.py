"""Who may see availability zones."""

from volumed.api.policies.rules import Rule

GET_ALL = "volume:availability_zone_list"

RULES = (Rule(GET_ALL, "", "List availability zones.", ("GET /os-availability-zone",)),)

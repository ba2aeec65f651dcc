"""Who may do what: one file of rules a resource, and the list of all for the enforcer and the sample file."""

from typing import Any

from volumed.api.policies import (
    attachments,
    availability_zones,
    doctor,
    events,
    limits,
    operations,
    pools,
    quota_sets,
    services,
    snapshots,
    types,
    volume_actions,
    volumes,
)

_FILES = (
    volumes,
    volume_actions,
    snapshots,
    attachments,
    types,
    quota_sets,
    limits,
    services,
    pools,
    availability_zones,
    operations,
    events,
    doctor,
)


def list_rules() -> list[Any]:
    """Every rule with its default, as ``oslo.policy`` wants them."""
    from oslo_policy import policy

    named = [
        policy.RuleDefault("admin_api", "is_admin:True", description="Who counts as an administrator."),
        policy.RuleDefault(
            "admin_or_owner",
            "rule:admin_api or project_id:%(project_id)s",
            description="An administrator, or a member of the project that the thing belongs to.",
        ),
    ]
    for rule in (rule for file in _FILES for rule in file.RULES):
        paths: list[Any] = [
            dict(zip(("method", "path"), operation.split(" "), strict=True)) for operation in rule.operations
        ]
        named.append(policy.DocumentedRuleDefault(rule.name, rule.check, rule.description, paths))
    return named

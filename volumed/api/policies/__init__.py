"""Who may do what: one file of rules a resource, and the list of all for the enforcer and the sample file."""

from typing import Any

from volumed.api.policies import (
    attachments,
    availability_zones,
    doctor,
    events,
    limits,
    manageable,
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
    manageable,
)

#: Whom the other rules speak of, as the community's secure defaults have it.
_WHO = (
    ("admin_api", "is_admin:True", "Who counts as an administrator."),
    ("admin_or_owner", "rule:admin_api or project_id:%(project_id)s", "Whatever the role; no default speaks of it."),
    (
        "project_reader_or_admin",
        "rule:admin_api or (role:reader and project_id:%(project_id)s)",
        "Who may look: an administrator, or a reader of the project that the thing belongs to.",
    ),
    (
        "project_member_or_admin",
        "rule:admin_api or (role:member and project_id:%(project_id)s)",
        "Who may change: an administrator, or a member of the project that the thing belongs to.",
    ),
)


def list_rules() -> list[Any]:
    """Every rule with its default, as ``oslo.policy`` wants them."""
    from oslo_policy import policy

    named = [policy.RuleDefault(name, check, description=about) for name, check, about in _WHO]
    for rule in (rule for file in _FILES for rule in file.RULES):
        paths: list[Any] = [
            dict(zip(("method", "path"), operation.split(" "), strict=True)) for operation in rule.operations
        ]
        named.append(policy.DocumentedRuleDefault(rule.name, rule.check, rule.description, paths))
    return named

"""A rule as the policy files write it: names are the Block Storage service's, so that operators know them."""

from dataclasses import dataclass

ADMIN = "rule:admin_api"
READER = "rule:project_reader_or_admin"
MEMBER = "rule:project_member_or_admin"


@dataclass(frozen=True, slots=True)
class Rule:
    """``check`` is the default; ``operations`` are ``METHOD PATH``, for the sample file."""

    name: str
    check: str
    description: str
    operations: tuple[str, ...]

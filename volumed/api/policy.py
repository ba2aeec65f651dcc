"""May the caller do this? Asks oslo.policy, whose rules an operator's file may replace.

The rules themselves stand in ``policies``, one file a resource. The library is loaded with the first question: a start
does not need it.
"""

import functools
from typing import Any

from volumed.api import policies
from volumed.model.context import RequestContext
from volumed.model.errors import Forbidden

#: Decisions that are kept; an old one is asked for again.
REMEMBERED_DECISIONS = 8192


class Policy:
    """The rules in force. ``policy_file`` need not exist."""

    def __init__(self, conf: Any, policy_file: str) -> None:
        self._conf = conf
        self._policy_file = policy_file
        # A decision depends on nothing but these arguments, and the library takes 70 us for it.
        self._decide = functools.lru_cache(maxsize=REMEMBERED_DECISIONS)(self._ask)

    @functools.cached_property
    def _enforcer(self) -> Any:
        from oslo_policy import policy

        enforcer = policy.Enforcer(self._conf, policy_file=self._policy_file, rules=None)
        enforcer.register_defaults(policies.list_rules())
        enforcer.load_rules()
        return enforcer

    def allows(self, caller: RequestContext, rule: str, project_id: str | None = None) -> bool:
        """Whether the caller may do ``rule`` to something of ``project_id`` (the caller's own, unless given)."""
        owner = caller.project_id if project_id is None else project_id
        return self._decide(rule, owner, caller.project_id, caller.user_id, caller.is_admin, caller.roles)

    def enforce(self, caller: RequestContext, rule: str, project_id: str | None = None) -> None:
        """Raise ``Forbidden`` unless ``allows``."""
        if not self.allows(caller, rule, project_id):
            raise Forbidden(action=rule)

    def _ask(
        self, rule: str, owner: str, project_id: str, user_id: str, is_admin: bool, roles: tuple[str, ...]
    ) -> bool:
        enforcer = self._enforcer
        target = {"project_id": owner, "user_id": user_id}
        credentials = {"is_admin": is_admin, "user_id": user_id, "project_id": project_id, "roles": list(roles)}
        return bool(enforcer.rules[rule](target, credentials, enforcer))

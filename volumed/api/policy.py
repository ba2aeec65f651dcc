"""May the caller do this? Asks oslo.policy, whose rules an operator's file may replace.

The rules themselves stand in ``policies``, one file a resource. The library is loaded with the first question: a start
does not need it.
"""

import functools
from collections.abc import Mapping
from typing import Any

from volumed.api import policies
from volumed.model.context import RequestContext
from volumed.model.errors import Forbidden


class Policy:
    """The rules in force. ``policy_file`` need not exist."""

    def __init__(self, conf: Any, policy_file: str) -> None:
        self._conf = conf
        self._policy_file = policy_file

    @functools.cached_property
    def _enforcer(self) -> Any:
        from oslo_policy import policy

        enforcer = policy.Enforcer(self._conf, policy_file=self._policy_file, rules=None)
        enforcer.register_defaults(policies.list_rules())
        enforcer.load_rules()
        return enforcer

    def allows(self, caller: RequestContext, rule: str, project_id: str | None = None) -> bool:
        """Whether the caller may do ``rule`` to something of ``project_id`` (the caller's own, unless given)."""
        enforcer = self._enforcer
        target = {"project_id": caller.project_id if project_id is None else project_id, "user_id": caller.user_id}
        return bool(enforcer.rules[rule](target, _credentials(caller), enforcer))

    def enforce(self, caller: RequestContext, rule: str, project_id: str | None = None) -> None:
        """Raise ``Forbidden`` unless ``allows``."""
        if not self.allows(caller, rule, project_id):
            raise Forbidden(action=rule)


def _credentials(caller: RequestContext) -> Mapping[str, Any]:
    return {
        "is_admin": caller.is_admin,
        "user_id": caller.user_id,
        "project_id": caller.project_id,
        "roles": list(caller.roles),
    }

"""Believes what the caller says: ``X-Auth-Token: USER:PROJECT``. For one machine or a laboratory."""

from collections.abc import Mapping
from typing import Any, ClassVar

from volumed.model.context import RequestContext

#: The user that is an administrator.
ADMIN = "admin"


class NoAuth:
    """``USER`` alone is a project of its own, as OpenStack's noauth has it."""

    challenge: ClassVar[str] = 'Noauth realm="volumed"'

    def caller(
        self, environ: Mapping[str, Any], request_id: str, global_request_id: str | None
    ) -> RequestContext | None:
        """Whoever the token names; None when it names nobody."""
        user_id, _, project_id = environ.get("HTTP_X_AUTH_TOKEN", "").strip().partition(":")
        if not user_id or len(user_id) > 191 or len(project_id) > 191:
            return None
        is_admin = user_id == ADMIN
        return RequestContext(
            user_id=user_id,
            project_id=project_id or user_id,
            is_admin=is_admin,
            request_id=request_id,
            roles=("admin", "member", "reader") if is_admin else ("member", "reader"),
            global_request_id=global_request_id,
        )

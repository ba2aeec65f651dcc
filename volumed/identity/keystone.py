"""Believes what keystone says of a token: who asks, for which project, in which roles.

keystonemiddleware asks keystone, and keeps what it was told for ``[keystone_authtoken] token_cache_time``; it is
imported only where it is wanted. Knows nothing of what a role may do; that is policy.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from volumed.model.context import RequestContext
from volumed.model.errors import ConfigurationError, Forbidden, ServiceUnavailable

LOG = logging.getLogger(__name__)

GROUP = "keystone_authtoken"

#: Role of an administrator.
ADMIN = "admin"

#: Seconds to wait for keystone, and how often to ask it again: a request holds one of few threads meanwhile.
_CONNECT_TIMEOUT, _RETRIES = 10, 1


class NoScope(Forbidden):
    message = "The token is for no project; ask keystone for one with a scope."


class KeystoneAway(ServiceUnavailable):
    message = "The identity service cannot be asked now."


def known_options(conf: Any) -> list[tuple[str, list[Any]]]:
    """Every option that keystonemiddleware reads, by group, those of the configured way to log in among them."""
    from keystoneauth1 import loading
    from keystonemiddleware import auth_token

    options = [(group, list(known)) for group, known in auth_token.list_opts()]
    kind = conf[GROUP].auth_type if GROUP in conf and "auth_type" in conf[GROUP] else None
    return [*options, (GROUP, loading.get_auth_plugin_conf_options(kind))] if kind else options


def register_options(conf: Any) -> None:
    """Register them. Raises ``ConfigurationError`` for a way to log in that does not exist."""
    from keystoneauth1.exceptions import NoMatchingPlugin

    try:
        for _ in range(2):  # which there are depends on one of them
            for group, options in known_options(conf):
                conf.register_opts(options, group=group)
    except NoMatchingPlugin as error:
        raise ConfigurationError(option=f"[{GROUP}] auth_type", reason=str(error)) from error
    conf.set_default("http_connect_timeout", _CONNECT_TIMEOUT, group=GROUP)
    conf.set_default("http_request_max_retries", _RETRIES, group=GROUP)


class Keystone:
    """Identifies callers by their tokens. Raises ``ConfigurationError`` when it is not told how to ask keystone."""

    def __init__(self, conf: Any) -> None:
        if GROUP not in conf or not conf[GROUP].auth_type:
            reason = "auth_strategy = keystone needs it, and what goes with it: how to ask keystone"
            raise ConfigurationError(option=f"[{GROUP}] auth_type", reason=reason)
        from keystonemiddleware import auth_token

        group = conf[GROUP]
        self.challenge = f'Keystone uri="{group.www_authenticate_uri or group.auth_url}"'
        # With a decision delayed, a keystone that is away would look like a bad token.
        told = {"oslo_config_config": conf, "delay_auth_decision": False, "include_service_catalog": True}
        self._middleware = auth_token.AuthProtocol(_confirm, told)

    def caller(
        self, environ: Mapping[str, Any], request_id: str, global_request_id: str | None
    ) -> RequestContext | None:
        """Whoever the request's token stands for; None when keystone does not know it.

        Raises ``KeystoneAway``, and ``NoScope`` for a token without a project that is no system administrator's.
        """
        if not environ.get("HTTP_X_AUTH_TOKEN"):
            return None
        told = dict(environ)
        status = self._verify(told)
        if status == 401:
            return None
        if status != 200:
            raise KeystoneAway
        return _context(told, request_id, global_request_id)

    def _verify(self, environ: dict[str, Any]) -> int:
        """Have the token verified; 200 when ``environ`` has what keystone says of it."""
        from keystoneauth1.exceptions import ClientException

        answers: list[str] = []
        try:
            for _ in self._middleware(environ, lambda status, headers, error=None: answers.append(status)):
                pass
        except ClientException as error:
            LOG.error("keystone cannot be asked about a token: %s", error)
            raise KeystoneAway from error
        return int(answers[0].split()[0])


def _confirm(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What stands behind the middleware: it is reached only with a good token."""
    start_response("200 OK", [])
    return []


def _context(environ: Mapping[str, Any], request_id: str, global_request_id: str | None) -> RequestContext:
    roles = tuple(role.strip().lower() for role in environ.get("HTTP_X_ROLES", "").split(",") if role.strip())
    is_admin = ADMIN in roles and environ.get("HTTP_X_IS_ADMIN_PROJECT", "True") == "True"
    project_id = environ.get("HTTP_X_PROJECT_ID") or ""
    if not project_id and not (is_admin and environ.get("HTTP_OPENSTACK_SYSTEM_SCOPE") == "all"):
        raise NoScope
    return RequestContext(
        user_id=environ["HTTP_X_USER_ID"],
        project_id=project_id,
        is_admin=is_admin,
        request_id=request_id,
        roles=roles,
        global_request_id=global_request_id,
    )

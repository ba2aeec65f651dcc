"""Who a request comes from: the seam behind which an identity service stands.

Knows nothing of what a caller may do; that is policy.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from volumed.identity.keystone import Keystone
from volumed.identity.noauth import NoAuth
from volumed.model.context import RequestContext
from volumed.model.errors import VolumedError


class Unauthenticated(VolumedError):
    """The request does not say who asks, or says it in a way that is not believed (HTTP 401)."""

    message = "The request you have made requires authentication."


class Identity(Protocol):
    """Turns a request into its caller."""

    @property
    def challenge(self) -> str:
        """The value of ``WWW-Authenticate`` in the answer to a stranger."""

    def caller(
        self, environ: Mapping[str, Any], request_id: str, global_request_id: str | None
    ) -> RequestContext | None:
        """Who asks by the request's WSGI environment; None when that is nobody."""


_STRATEGIES: Mapping[str, Callable[[Any], Identity]] = {"noauth": lambda conf: NoAuth(), "keystone": Keystone}


def identity_of(conf: Any) -> Identity:
    """The identity service that ``[api] auth_strategy`` names. Raises ``ConfigurationError``."""
    return _STRATEGIES[conf.api.auth_strategy](conf)

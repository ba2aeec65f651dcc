"""Who a request comes from: the seam behind which an identity service stands.

Knows nothing of what a caller may do; that is policy.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

from volumed.identity.noauth import NoAuth
from volumed.model.context import RequestContext
from volumed.model.errors import VolumedError


class Unauthenticated(VolumedError):
    """The request does not say who asks, or says it in a way that is not believed (HTTP 401)."""

    message = "The request you have made requires authentication."


class Identity(Protocol):
    """Turns a request's headers into its caller."""

    #: The value of ``WWW-Authenticate`` in the answer to a stranger.
    challenge: ClassVar[str]

    def caller(self, token: str | None, request_id: str, global_request_id: str | None) -> RequestContext | None:
        """Whoever the token stands for; None when it stands for nobody."""


_STRATEGIES: Mapping[str, Callable[[], Identity]] = {"noauth": NoAuth}


def identity_of(auth_strategy: str) -> Identity:
    """The identity service that ``auth_strategy`` names."""
    return _STRATEGIES[auth_strategy]()

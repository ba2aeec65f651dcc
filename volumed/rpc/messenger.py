"""Sends: the one way to cast and to call.

Source of the surprises handled here: docs/libraries.md (a call may outlast its timeout while the broker is away unless
``retry`` is set; a cast with ``retry=0`` raises kombu's error, not oslo's).
"""

import logging
from typing import Any

import oslo_messaging
from kombu.exceptions import OperationalError

from volumed.model.context import RequestContext
from volumed.model.errors import RpcError, ServiceUnavailable, VolumedError

LOG = logging.getLogger(__name__)

_ABSENCE = (OperationalError, oslo_messaging.MessageDeliveryFailure, oslo_messaging.MessagingTimeout, OSError)


class Messenger:
    """One connection's sending side. ``timeout`` bounds every call, in seconds."""

    def __init__(self, transport: Any, exchange: str, timeout: float) -> None:
        self._transport = transport
        self._exchange = exchange
        self._timeout = timeout
        self._clients: dict[tuple[str, str, str | None, bool], Any] = {}

    def cast(
        self,
        context: RequestContext,
        topic: str,
        method: str,
        arguments: dict[str, Any],
        version: str,
        server: str | None = None,
        fanout: bool = False,
    ) -> bool:
        """Send without waiting; False, and a line in the log, when it could not be sent: the receiver's sweep helps."""
        try:
            self._client(topic, version, server, fanout).cast(context.to_dict(), method, **arguments)
        except _ABSENCE as error:
            LOG.warning("cast of %s to %s was not sent: %s", method, server or topic, error)
            return False
        return True

    def call(
        self,
        context: RequestContext,
        topic: str,
        method: str,
        arguments: dict[str, Any],
        version: str,
        server: str | None = None,
    ) -> Any:
        """Ask and wait for the answer. Raises ``ServiceUnavailable`` past the bound, else what the method raised."""
        try:
            return self._client(topic, version, server, False).call(context.to_dict(), method, **arguments)
        except _ABSENCE as error:
            raise ServiceUnavailable(reason=f"{server or topic} does not answer: {error}") from error
        except VolumedError as error:
            raise _as_raised(error) from None
        except oslo_messaging.RemoteError as error:
            raise RpcError(reason=f"{server or topic} answered with {error.exc_type}: {error.value}") from None

    def _client(self, topic: str, version: str, server: str | None, fanout: bool) -> Any:
        key = (topic, version, server, fanout)
        if key not in self._clients:
            target = oslo_messaging.Target(
                exchange=self._exchange, topic=topic, version=version, server=server, fanout=fanout or None
            )
            self._clients[key] = oslo_messaging.get_rpc_client(self._transport, target, timeout=self._timeout, retry=1)
        return self._clients[key]


def _as_raised(error: VolumedError) -> VolumedError:
    """The error as the method raised it: what arrives is of a class made up for it, with a traceback in its words."""
    raised: type[VolumedError] = type(error).__mro__[1]
    return raised(error.args[0], **error.fields)

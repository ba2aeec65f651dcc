"""Sends: the one way to cast and to call. Nobody waits for a broker: not for a cast at all, for a call as long as said.

Source of the surprises handled here: docs/libraries.md (a call may outlast its timeout while the broker is away unless
``retry`` is set; a cast with ``retry=0`` raises kombu's error, not oslo's).
"""

import logging
from functools import partial
from typing import Any

import oslo_messaging
from kombu.exceptions import OperationalError

from volumed.model.context import RequestContext
from volumed.model.errors import RpcError, ServiceUnavailable, VolumedError
from volumed.model.tracing import carried
from volumed.rpc.patience import Courier, within
from volumed.rpc.pins import Pins
from volumed.rpc.transport import is_in_process

LOG = logging.getLogger(__name__)

_ABSENCE = (OperationalError, oslo_messaging.MessageDeliveryFailure, oslo_messaging.MessagingTimeout, OSError)


#: Seconds that a call may take beyond the driver's own bound, which does not hold while the broker is away.
GRACE = 0.5


class Messenger:
    """One transport's sending side. ``timeout`` bounds a call, in seconds; ``pins`` say what is too new for whom."""

    def __init__(self, transport: Any, exchange: str, timeout: float, pins: Pins | None = None) -> None:
        self._transport = transport
        self._exchange = exchange
        self._timeout = timeout
        self._pins = pins
        self._clients: dict[tuple[str, str, str | None, bool], Any] = {}
        #: Sends the casts; the process's own broker is quicker than a change of threads.
        self._courier = None if is_in_process(transport.conf) else Courier()

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
        """Have it sent, not waiting. False, and a line in the log, when it will not be: the receiver's sweep helps."""
        if old := self._too_old(topic, version):
            LOG.info("cast of %s, version %s, to %s is not sent: %s is older", method, version, server or topic, old)
            return False
        send = partial(self._send, context.to_dict() | carried(), topic, method, arguments, version, server, fanout)
        return send() if self._courier is None else self._courier.take(send)

    def call(
        self,
        context: RequestContext,
        topic: str,
        method: str,
        arguments: dict[str, Any],
        version: str,
        server: str | None = None,
    ) -> Any:
        """Ask and wait for the answer. Raises what the method raised, ``ServiceUnavailable`` where there is no answer
        in time, or a live service of the topic is too old for ``version``.
        """
        if old := self._too_old(topic, version):
            raise ServiceUnavailable(reason=f"{method} is of version {version}, and {old} does not know it yet")
        ask = partial(
            self._client(topic, version, server, False).call, context.to_dict() | carried(), method, **arguments
        )
        try:
            return ask() if self._courier is None else within(self._timeout + GRACE, ask)
        except _ABSENCE as error:
            raise ServiceUnavailable(reason=f"{server or topic} does not answer: {error or 'in time'}") from error
        except VolumedError as error:
            raise _as_raised(error) from None
        except oslo_messaging.RemoteError as error:
            raise RpcError(reason=f"{server or topic} answered with {error.exc_type}: {error.value}") from None

    def _too_old(self, topic: str, version: str) -> str | None:
        old = self._pins.too_old_for(topic, version) if self._pins is not None else None
        return old.name if old is not None else None

    def _send(
        self,
        context: dict[str, Any],
        topic: str,
        method: str,
        arguments: dict[str, Any],
        version: str,
        server: str | None,
        fanout: bool,
    ) -> bool:
        try:
            self._client(topic, version, server, fanout).cast(context, method, **arguments)
        except _ABSENCE as error:
            LOG.warning("cast of %s to %s was not sent: %s", method, server or topic, error)
            return False
        return True

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

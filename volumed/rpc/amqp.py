"""kombu's AMQP transport with a bound on every answer of the broker.

A network that falls silent after the handshake leaves kombu waiting for ever for its channel, and oslo.messaging for
its queues: the bounds of both begin later. Knows sockets; knows nothing of RPC.
"""

# kombu's transports have annotations in part.
# mypy: disable-error-code="no-untyped-call, union-attr"

from typing import Any

from kombu import transport as transports
from kombu.transport import TRANSPORT_ALIASES, pyamqp

#: Seconds for an answer where the connection has no heartbeat, whose interval is the bound otherwise.
LONGEST_SILENCE = 10.0


#: What AMQP's URLs begin with, as kombu calls it.
ALIASES = ("amqp", "amqps", "pyamqp")


def register() -> None:
    """Make it the transport of AMQP's URLs in this process, also where kombu has looked them up before."""
    TRANSPORT_ALIASES.update(dict.fromkeys(ALIASES, f"{__name__}:Transport"))
    for alias in ALIASES:
        transports._transport_cache.pop(alias, None)


class Transport(pyamqp.Transport):
    """Waits for nothing longer than a heartbeat's interval from the first moment on."""

    def establish_connection(self) -> Any:
        connection = super().establish_connection()
        connection.sock.settimeout(float(self.client.heartbeat or LONGEST_SILENCE))
        return connection

"""Whether a request has arrived, asked without a thread: a client that sends half of one holds a descriptor, no more.

Looks at what the kernel has received (``MSG_PEEK``) and lets it say when there is more (``SO_RCVLOWAT``, socket(7)).
Knows sockets and where the head of a request ends; reads nothing and answers nothing.
"""

import re
import socket
from typing import Final, NamedTuple

#: Bytes of a body that are waited for as the head is; a thread reads longer ones as they come.
AWAITED_BODY: Final = 32 * 1024

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_ASKS_FIRST: Final = re.compile(rb"\r\nexpect:", re.IGNORECASE)


class Arrival(NamedTuple):
    """How much is there of a request, and from how many bytes on it is worth another look; 0: it can be read now."""

    seen: int
    wanted: int


def look(connection: socket.socket, before: Arrival | None, most: int) -> Arrival:
    """What has arrived. ``before`` is the last look at the same request, ``most`` the longest head that is read."""
    try:
        there = _peek(connection, most + AWAITED_BODY)
    except OSError:
        return Arrival(0, 0)  # whoever reads it is told the same
    seen = 0 if there is None else len(there)
    # Readable, and nothing has come: this is the end of the stream.
    ended = there == b"" or (before is not None and seen and seen == before.seen)
    arrival = Arrival(seen, 0 if ended else _wanted(there or b"", most))
    wake_from(connection, max(1, arrival.wanted))
    return arrival


def _peek(connection: socket.socket, most: int) -> bytes | None:
    """What can be read now, left there; None while nothing is to be read."""
    patience = connection.gettimeout()
    connection.settimeout(0)  # with a time-out Python waits before it asks the kernel, MSG_DONTWAIT or not
    try:
        return connection.recv(most, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    finally:
        connection.settimeout(patience)


def _wanted(there: bytes, most: int) -> int:
    """From how many bytes on to look again, 0 when what is there can be read."""
    end = there.find(_HEAD_END, 0, most)
    if end < 0:
        return 0 if len(there) >= most else len(there) + 1
    head = there[: end + len(_HEAD_END)]
    found = _LENGTH.search(head)
    body = 0 if found is None or _ASKS_FIRST.search(head) else int(found[1])
    whole = len(head) + body
    return whole if body <= AWAITED_BODY and len(there) < whole else 0


def wake_from(connection: socket.socket, count: int) -> None:
    """Have the connection readable when ``count`` bytes are there, or its end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

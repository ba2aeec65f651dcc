"""Messages between a helper and who asks it: JSON, its length first, and a descriptor that may go along.

Standard library only: a helper holds what the service must not have, so it loads little.
"""

import json
import os
import socket
import struct
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

#: Bytes of the longest request and the longest answer (10,000 exports).
MOST_ASKED = 64 * 1024
MOST_ANSWERED = 32 * 1024 * 1024

_HEAD = struct.Struct("!I")

Kind = Literal["busy", "invalid", "not_found", "unreachable"]


class Refused(Exception):
    """The helper does not do it. ``kind`` says which of the backend's errors that is; no secret is in ``reason``."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class Unanswered(Exception):
    """The request was sent and no answer came: it may have worked."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Are you there? Answered with ``protocol``, which changes with the requests' words, and ``pid``."""

    CHANGES: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Handed:
    """An answer with which a descriptor goes along; whoever sends it closes it then."""

    value: Any
    descriptor: int


def to_words(request: Any) -> bytes:
    """The request, a dataclass, as it is sent."""
    return json.dumps({"request": type(request).__name__} | asdict(request)).encode()


def of_words(words: bytes, kinds: Collection[type[Any]], shaped: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """The request that was sent, one of ``kinds``; ``shaped`` makes its fields of JSON's values.

    Raises ``Refused`` (``invalid``), quoting no value. What the fields hold is still to be checked.
    """
    try:
        told = json.loads(words)
        by_name = {kind.__name__: kind for kind in kinds}
        return by_name[told.pop("request")](**shaped(told))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused("invalid", "this is not a request") from None


def send(stream: socket.socket, words: bytes, descriptor: int | None = None) -> None:
    """Send a message, its length first; ``descriptor`` goes along (SCM_RIGHTS, unix(7))."""
    message = _HEAD.pack(len(words)) + words
    descriptors = [] if descriptor is None else [descriptor]
    sent = socket.send_fds(stream, [message], descriptors)
    if sent < len(message):  # an empty rest would be refused where the other end has heard enough and closed
        stream.sendall(message[sent:])


def receive(stream: socket.socket, most: int) -> tuple[bytes, list[int]]:
    """One message, and the descriptors that came along. Raises ``ConnectionResetError`` where it ends too early."""
    first, descriptors, _, _ = socket.recv_fds(stream, 1 << 16, 1, socket.MSG_CMSG_CLOEXEC)
    received = bytearray(first)
    try:
        while _is_short(received, most):
            part = stream.recv(1 << 20)
            if not part:
                raise ConnectionResetError("the connection ended in the middle of a message")
            received += part
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return bytes(received[_HEAD.size :]), descriptors


def _is_short(received: bytearray, most: int) -> bool:
    """Whether more of the message must come. Raises ``ConnectionResetError`` where that would be too much."""
    if len(received) < _HEAD.size:
        return True
    (length,) = _HEAD.unpack_from(received)
    if length > most:
        raise ConnectionResetError(f"a message of {length} bytes, of at most {most}")
    return len(received) < _HEAD.size + int(length)

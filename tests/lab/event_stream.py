"""A client of a stream of events as a browser is one: parses the stream, remembers where it was, connects again.

Source: WHATWG HTML, 9.2.6 (interpreting an event stream). Knows HTTP; knows nothing of volumed's insides.
"""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

#: Seconds that anything may take on a loaded machine.
PATIENCE = 60.0


class Closed(Exception):
    """The server has ended the stream."""


@dataclass
class Told:
    """One event as it was dispatched."""

    id: str
    event: str
    data: dict[str, Any]


@dataclass
class _Block:
    id: str | None = None
    event: str = "message"
    data: str = ""


@dataclass
class Stream:
    """One connection. ``last_id`` is what the next one begins with."""

    connection: socket.socket
    last_id: str = ""
    retry: int | None = None
    comments: list[str] = field(default_factory=list)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    _received: bytes = b""
    _begun: "_Block" = field(default_factory=lambda: _Block())

    def line(self, deadline: float) -> str:
        """The next line. Raises ``Closed`` at the stream's end."""
        while b"\n" not in self._received:
            self.connection.settimeout(max(0.01, deadline - time.monotonic()))
            received = self.connection.recv(65536)
            if not received:
                raise Closed
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return line.rstrip(b"\r").decode()

    def next(self, patience: float = PATIENCE) -> Told:
        """The next event; comments and blocks without data are noted and passed over.

        Raises ``TimeoutError``; a later call goes on in the middle of what had come.
        """
        deadline = time.monotonic() + patience
        while True:
            line = self.line(deadline)
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                block, self._begun = self._begun, _Block()
                self.last_id = self.last_id if block.id is None else block.id
                if block.data:
                    return Told(self.last_id, block.event, json.loads(block.data))
            elif not name:
                self.comments.append(value)
            elif name == "retry":
                self.retry = int(value)
            elif name == "data":
                self._begun.data += value
            elif name in {"id", "event"}:
                setattr(self._begun, name, value)

    def until_closed(self, patience: float = PATIENCE) -> list[Told]:
        """Everything up to the stream's end."""
        told: list[Told] = []
        deadline = time.monotonic() + patience
        try:
            while True:
                told.append(self.next(deadline - time.monotonic()))
        except (Closed, ConnectionError):
            return told

    def wait_for_heartbeat(self, position: int = 0, patience: float = PATIENCE) -> None:
        """Read on until a heartbeat tells ``position`` or a later one; there must be no event before it."""
        deadline = time.monotonic() + patience
        while True:
            line = self.line(deadline)
            assert not line.startswith("data"), line
            if line.startswith(":") and int(line[1:]) >= position:
                return


def connect(url: str, token: str = "admin:admin", query: str = "", last_id: str | None = None) -> Stream:
    """Ask for a stream, and read the answer's head. ``url`` is the server's."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), timeout=PATIENCE)
    resumed = "" if last_id is None else f"Last-Event-ID: {last_id}\r\n"
    connection.sendall(
        f"GET /v3/events{query} HTTP/1.1\r\nHost: volumed\r\nX-Auth-Token: {token}\r\n"
        f"Accept: text/event-stream\r\n{resumed}\r\n".encode()
    )
    stream = Stream(connection)
    try:
        _read_head(stream)
    except BaseException:
        connection.close()
        raise
    return stream


def _read_head(stream: Stream) -> None:
    deadline = time.monotonic() + PATIENCE
    stream.status = int(stream.line(deadline).split(" ")[1])
    while line := stream.line(deadline):
        name, _, value = line.partition(":")
        stream.headers[name.lower()] = value.strip()


@contextmanager
def following(url: str, token: str = "admin:admin", query: str = "", last_id: str | None = None) -> Iterator[Stream]:
    """A stream that is hung up at the end."""
    stream = connect(url, token, query, last_id)
    with stream.connection:
        yield stream

"""HTTP by hand: bytes to a socket, and the answers that come back, however wrong the bytes were."""

import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

#: Seconds that any answer may take on a loaded machine.
PATIENCE = 30.0

HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def fault(self) -> Mapping[str, Any]:
        """What an error in OpenStack's form says."""
        (fault,) = self.json.values()
        assert fault["code"] == self.status, self
        return dict(fault)


class Wire:
    """One connection. ``told`` is what has been received and not been taken as an answer."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._told = b""

    def send(self, sent: bytes) -> None:
        """Send, also when the other side has closed meanwhile."""
        try:
            self.connection.sendall(sent)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self, to: str = "GET") -> Answer | None:
        """The next answer; None when the connection was closed instead. ``to`` is the method that it answers."""
        while HEAD_END not in self._told:
            if not self._receive():
                return None
        head, _, self._told = self._told.partition(HEAD_END)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split(" ")[1])
        if status == 100:
            return self.answer(to)
        return Answer(status, headers, b"" if to == "HEAD" else self._body(headers))

    def ask(self, sent: bytes) -> Answer:
        """Send one request, however it is made, and return its answer."""
        self.send(sent)
        found = self.answer(sent.split(b" ", 1)[0].decode("latin-1"))
        assert found is not None, f"no answer to {sent[:200]!r}"
        return found

    def is_closed(self) -> bool:
        """Whether the other side closes without a further answer."""
        return not self._told and not self._receive()

    def is_waiting(self) -> bool:
        """Whether the other side has said nothing so far, and has not closed either."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return not self._told and not readable

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(self._chunks())
        length = int(headers.get("content-length", 0))
        while len(self._told) < length:
            assert self._receive(), "the answer is shorter than it says"
        body, self._told = self._told[:length], self._told[length:]
        return body

    def _chunks(self) -> Iterator[bytes]:
        while True:
            while b"\r\n" not in self._told:
                assert self._receive(), "the answer is shorter than it says"
            size, _, self._told = self._told.partition(b"\r\n")
            length = int(size, 16)
            while len(self._told) < length + 2:
                assert self._receive(), "the answer is shorter than it says"
            chunk, self._told = self._told[:length], self._told[length + 2 :]
            if not length:
                return
            yield chunk

    def _receive(self) -> bool:
        try:
            more = self.connection.recv(65536)
        except ConnectionResetError:
            return False
        self._told += more
        return bool(more)


@contextmanager
def wire(url: str) -> Iterator[Wire]:
    """A connection to the service at ``url``."""
    host = urlsplit(url)
    with socket.create_connection((host.hostname or "", host.port or 0), timeout=PATIENCE) as connection:
        yield Wire(connection)


def request(line: str | bytes, *headers: str | bytes, body: bytes | None = None, token: str = "admin:admin") -> bytes:
    """A request with this first line (without the version), a caller and, where there is a body, its length."""
    first = line.encode() if isinstance(line, str) else line
    lines = [first + b" HTTP/1.1", b"Host: volumed", f"X-Auth-Token: {token}".encode()]
    lines += [header.encode("latin-1") if isinstance(header, str) else header for header in headers]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + HEAD_END + (body or b"")

"""The HTTP server in front of the API's WSGI app: sockets, threads, limits and time-outs."""

# Much of cheroot is unknown to mypy, and its connections are an attribute that only its servers' base class sets.
# mypy: disable-error-code="attr-defined"

import contextlib
import logging
import math
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from cheroot import wsgi
from cheroot.connections import ConnectionManager
from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest
from oslo_service import service

from volumed.api.errors import RETRY_AFTER, fault
from volumed.api.streams import EventStream
from volumed.launch import arrivals
from volumed.launch.arrivals import Arrival
from volumed.launch.tls import Tls
from volumed.model.errors import ConfigurationError

LOG = logging.getLogger(__name__)

#: Bytes of a request's line and headers together at most.
MOST_HEADER_BYTES = 32 * 1024

#: Bytes of a body that are read at most, whatever the application takes: one chunk comes as a whole.
MOST_BODY_BYTES = 8 * 1024 * 1024

#: Connections that wait for a thread at most; more are answered with 503.
MOST_WAITING = 256

#: Connections kept open between two requests.
MOST_KEPT_ALIVE = 512

#: Seconds between two looks of the server whether a connection is too old, or whether to stop.
SELECT_PAUSE = 0.1

#: A header's name and value: a token and no control characters (RFC 9110, 5.5 and 5.6.2).
_HEADER = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r\n")

#: Headers of which a second one would change what the request is.
_ONCE = frozenset({b"Content-Length", b"Host", b"X-Auth-Token", b"Idempotency-Key"})

#: Bytes that a client sends into its own stream, taken away at a time.
_UNHEARD = 4096

#: Bytes of a request that nobody reads, taken away at most.
MOST_DROPPED = 1024 * 1024

#: Seconds that a server that stops waits for the first request of a client that has just come.
LAST_WORDS = 0.5

#: Seconds that a client may be silent in the middle of a request, or between two.
SILENCE = 65


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """``HOST:PORT``, an IPv6 host in brackets, 0.0.0.0 for every address. Raises ``ConfigurationError``."""
        host, _, port = text.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ConfigurationError(option="--listen", reason=f"{text!r} is not HOST:PORT")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Headers(HeaderReader):
    """Strict where leniency lets two readers of one stream see two different requests (RFC 9112, 5 and 6.3)."""

    def __call__(self, rfile: Any, hdict: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {} if hdict is None else hdict
        while (line := rfile.readline()) != b"\r\n":
            header = _HEADER.fullmatch(line)
            if header is None:
                raise ValueError("Illegal header line.")
            name, value = header[1].title(), header[2].strip(b" \t")
            if name in found and name in _ONCE:
                raise ValueError(f"{name.decode()} is given twice.")
            found[name] = b", ".join((found[name], value)) if name in found else value
        return found


class _Request(HTTPRequest):
    header_reader = _Headers()

    def respond(self) -> None:
        # What is left of a chunked body that nobody has read would be taken for the next request (RFC 9112, 9.3).
        self.close_connection = self.close_connection or self.chunked_read
        super().respond()

    def send_headers(self) -> None:
        # Whoever is answered while the server stops is told not to come again on this connection.
        self.close_connection = self.close_connection or self.server.is_stopping
        super().send_headers()

    def simple_response(self, status: Any, msg: str = "") -> None:
        """Refuse what never reaches the application in the form of its errors, and close."""
        code = int(str(status)[:3])
        body = fault(code, msg or HTTPStatus(code).phrase)
        again = f"Retry-After: {RETRY_AFTER}\r\n" if code == HTTPStatus.SERVICE_UNAVAILABLE else ""
        head = (
            f"{self.server.protocol} {code} {HTTPStatus(code).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{again}Connection: close\r\n\r\n"
        )
        self.close_connection = True
        self.conn.drop_arrived()
        with contextlib.suppress(OSError):
            self.conn.wfile.write(head.encode() + body)


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request

    #: The last look at a request that is not complete, and when its first byte was awaited.
    arrival: Arrival | None = None
    awaited_since = 0.0

    #: Whether a thread was given a request of it.
    has_asked = False

    #: Whether a stream has it, and ends it.
    is_lent = False

    def drop_arrived(self) -> None:
        """Take what came of a request that nobody reads: closing on it would reset the answer, too (RFC 9112, 9.6)."""
        patience, left = self.socket.gettimeout(), MOST_DROPPED
        self.socket.settimeout(0)
        with contextlib.suppress(OSError):
            while left > 0 and (dropped := self.socket.recv(_UNHEARD)):
                left -= len(dropped)
        self.socket.settimeout(patience)

    def lend(self) -> "_Lent":
        """The way to the client, no longer for the thread that has answered so far."""
        self.is_lent = True
        self.socket.setblocking(False)
        return _Lent(self.socket, super().close)

    def close(self) -> None:
        if not self.is_lent:
            super().close()


class _Lent:
    """A connection that an endless answer is sent on, as ``api.streams`` wants it."""

    def __init__(self, connection: socket.socket, close: Callable[[], None]) -> None:
        self._connection = connection
        self._close = close

    def send(self, data: bytes | bytearray) -> int:
        try:
            return self._connection.send(data)
        except BlockingIOError:
            return 0

    def is_gone(self) -> bool:
        # Whatever else the client says is dropped: it was told that nothing follows this answer.
        try:
            return self._connection.recv(_UNHEARD) == b""
        except BlockingIOError:
            return False

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._close()


class _Gateway(wsgi.Gateway_10):
    """Gives a stream the connection and the thread back; every other answer is sent as it comes (PEP 3333)."""

    def respond(self) -> None:
        with self.req.server.answering() as may_answer:
            if may_answer:
                self._respond()
            else:
                self.req.simple_response("503", "The service stops; ask another, or its successor.")

    def _respond(self) -> None:
        answer = self.req.server.wsgi_app(self.env, self.start_response)
        try:
            if isinstance(answer, EventStream):
                self._lend_to(answer)
                return
            for part in filter(None, answer):
                self.write(part)
            self.req.ensure_headers_sent()
        finally:
            if hasattr(answer, "close"):
                answer.close()

    def _lend_to(self, stream: EventStream) -> None:
        # Its body ends with the connection (RFC 9112, 6.3), so nothing is framed and no thread ends it.
        self.req.response_protocol = "HTTP/1.0"
        self.req.close_connection = True
        self.req.outheaders.append((b"Connection", b"close"))
        self.req.ensure_headers_sent()
        stream.carry(self.req.conn.lend())


class _Server(wsgi.Server):
    """Gives a connection to a thread when a request has arrived on it, not when it was opened."""

    ConnectionClass = _Connection

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.is_stopping = False
        self._running = 0
        self._ran = threading.Condition()

    @contextlib.contextmanager
    def answering(self) -> Iterator[bool]:
        """Count a request as running inside the block; False when none is taken any more."""
        with self._ran:
            may_answer = not self.is_stopping
            self._running += may_answer
        try:
            yield may_answer
        finally:
            with self._ran:
                self._running -= may_answer
                self._ran.notify_all()

    def finish(self, timeout: float) -> float:
        """Take no more requests and wait for those that run; the seconds that are left of ``timeout``."""
        until = time.monotonic() + timeout
        with self._ran:
            self.is_stopping = True
            self._ran.wait_for(lambda: not self._running, timeout)
        return max(0.0, until - time.monotonic())

    def _serve_unservicable(self) -> None:
        """Refuse in our form what finds no thread; the base class knows no other than its own."""
        while self.ready and isinstance(conn := self._unservicable_conns.get(), _Connection):
            _Request(self, conn).simple_response("503", "Too many requests wait; ask again later.")
            conn.close()

    def process_conn(self, conn: _Connection) -> None:
        # What was read ahead, and more connections than are kept, are a thread's at once.
        if not conn.rfile.has_data() and self.can_add_keepalive_connection and self._awaits_more(conn):
            self.put_conn(conn)
            return
        conn.arrival = None
        conn.has_asked = True
        arrivals.wake_from(conn.socket, 1)
        super().process_conn(conn)

    def _awaits_more(self, conn: _Connection) -> bool:
        """Whether a request is still to come on ``conn``, and may: whoever takes too long is not waited for."""
        now = time.monotonic()
        if conn.arrival is None:
            conn.awaited_since = now
        conn.arrival = arrivals.look(conn.socket, conn.arrival, self.max_request_header_size)
        if now - conn.awaited_since > self.timeout:
            conn.socket.shutdown(socket.SHUT_RD)  # a thread finds its end, answers and closes
            return False
        return conn.arrival.wanted > 0

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        LOG.log(logging.DEBUG if level <= logging.INFO else level, "%s", msg, exc_info=traceback)


class _Connections(ConnectionManager):
    """Those that no thread has. At the end none is closed on which a request has arrived: that would reset it unread.

    Between the last look at who has come and the end of listening there are microseconds, in which the kernel may still
    take somebody for us (listen(2) knows no way to stop that).
    """

    def stop(self) -> None:
        super().stop()
        listener = self.server.socket
        self._selector.unregister(listener.fileno())
        listener.settimeout(0)
        while (conn := self._from_server_socket(listener)) is not None:
            self._selector.register(conn.socket.fileno(), selectors.EVENT_READ, data=conn)
        listener.close()
        self.server.socket = None
        self._hear_last_words()

    def _hear_last_words(self) -> None:
        until = time.monotonic() + LAST_WORDS
        while self._awaits_somebody() and (left := until - time.monotonic()) > 0:
            self._hand_on(left)
        self._hand_on(0)

    def _awaits_somebody(self) -> bool:
        """Whether a client has come that has not asked anything yet."""
        return any(not conn.has_asked for _, conn in self._selector.connections)

    def _hand_on(self, timeout: float) -> None:
        for descriptor, conn in self._selector.select(timeout):
            self._selector.unregister(descriptor)
            self.server.process_conn(conn)


class HttpService(service.ServiceBase):  # type: ignore[misc]
    """Serves ``app`` with ``threads`` threads; the port is taken when it is made, so that a taken one is told early."""

    def __init__(self, address: Address, threads: int, shutdown_timeout: float, tls: Tls | None = None) -> None:
        self._app: Callable[..., Any] | None = None
        self._tls = tls
        self._server = _Server(
            (address.host, address.port),
            self._answer,
            numthreads=threads,
            max=threads,
            request_queue_size=1024,
            timeout=SILENCE,
            shutdown_timeout=math.ceil(shutdown_timeout),
            accepted_queue_size=MOST_WAITING,
            accepted_queue_timeout=1,
        )
        self._server.max_request_header_size = MOST_HEADER_BYTES
        self._server.max_request_body_size = MOST_BODY_BYTES
        self._server.keep_alive_conn_limit = MOST_KEPT_ALIVE
        self._server.expiration_interval = SELECT_PAUSE
        self._server.server_name = "volumed"
        self._server.gateway = _Gateway
        self._server.ssl_adapter = tls
        self._stopped = threading.Event()
        self.address = self._bind(address)

    def _bind(self, address: Address) -> Address:
        try:
            self._server.prepare()
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(option="--listen", reason=f"cannot listen on {address}: {_why(error)}") from error
        self._server._connections.close()
        self._server._connections = _Connections(self._server)
        # cheroot leaves this out for a port that the kernel chose; then connections that a killed process leaves half
        # closed would keep its successor from the same port (socket(7): both must have asked for reuse).
        self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        host, port = self._server.bind_addr[:2]
        return Address(host, port)

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"{'http' if self._tls is None else 'https'}://{self.address}"

    def serve(self, app: Callable[..., Any]) -> None:
        """Answer with ``app`` from now on."""
        self._app = app

    def start(self) -> None:
        """Answer until ``stop``."""
        threading.Thread(target=self._server.serve, name="http", daemon=True).start()

    def stop(self) -> None:
        """Finish the requests that are being answered and close; what comes meanwhile is sent elsewhere with 503."""
        if not self._stopped.is_set():
            left = self._server.finish(self._server.shutdown_timeout)
            self._server.shutdown_timeout = max(1, math.ceil(left))
            self._server.stop()
            self._stopped.set()

    def wait(self) -> None:
        self._stopped.wait()

    def reset(self) -> None:
        """Take the certificates as they are now; what is open stays. Raises ``ConfigurationError``."""
        if self._tls is not None:
            self._tls.reload()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        assert self._app is not None
        return self._app(environ, start_response)


def _why(error: Exception) -> str:
    text = str(error)
    if isinstance(error, UnicodeError) or "Errno -" in text:
        return "there is no such host"
    found = re.search(r"\[Errno \d+\] ([^\]]+)\)$", text)
    return found.group(1) if found else text

"""TLS for the built-in server: a connection costs a thread only when a whole request has arrived on it, as without TLS.

The kernel cannot be asked what is there of a request, because what it has is sealed; so whoever looks (``MSG_PEEK``)
opens what has come and keeps it for whoever reads. The handshake is made by the first looks, without waiting for
anybody. Knows sockets and certificates; knows nothing of HTTP.
"""

import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cheroot.makefile import StreamReader, StreamWriter
from cheroot.ssl import Adapter

from volumed.model.errors import ConfigurationError

#: Bytes of a TLS record at most (RFC 8446, 5.1).
_RECORD = 16 * 1024


class Tls(Adapter):
    """What seals the server's connections. ``client_ca``: who signs the certificates that clients must show, if any.

    Raises ``ConfigurationError`` naming the file that cannot be used.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._files = (certificate, key, client_ca)
        self._context = self._load()

    @classmethod
    def configured(cls, conf: Any) -> "Tls | None":
        """As ``[api]`` says; None where it wants none."""
        certificate, key, client_ca = (
            Path(path) if path else None
            for path in (conf.api.tls_certificate_file, conf.api.tls_key_file, conf.api.tls_client_ca_file)
        )
        if certificate is None:
            if key or client_ca:
                raise ConfigurationError(option="[api] tls_certificate_file", reason="TLS needs a certificate")
            return None
        return cls(certificate, key or certificate, client_ca)

    def reload(self) -> None:
        """Have the files as they are now for connections that come from now on."""
        self._context = self._load()

    def bind(self, sock: socket.socket) -> socket.socket:
        return sock

    def wrap(self, sock: socket.socket) -> tuple[socket.socket, dict[str, str]]:
        """The sealed connection on ``sock``, and what it adds to the environment of its requests."""
        sealed = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        sealed.ahead = bytearray()  # type: ignore[attr-defined]
        return sealed, self.get_environ()

    def get_environ(self) -> dict[str, str]:
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock: Any, mode: str = "r", bufsize: int = -1) -> Any:
        return _Reader(sock, mode, bufsize) if "r" in mode else StreamWriter(sock, mode, bufsize)

    def _load(self) -> ssl.SSLContext:
        certificate, key, client_ca = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = _Sealed
        with _naming("tls_certificate_file" if certificate == key else "tls_key_file", key):
            context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            with _naming("tls_client_ca_file", client_ca):
                context.load_verify_locations(client_ca)
        return context


class _Sealed(ssl.SSLSocket):
    """Answers as a plain socket does: what has not come yet is a ``BlockingIOError``, a broken seal a hang-up."""

    #: What was opened and not read yet. (``SSLContext.wrap_socket`` calls no ``__init__`` of ours.)
    ahead: bytearray

    #: Whether something may have come that no look has seen.
    unseen = True

    def has_unseen(self) -> bool:
        """Whether there is something to read that no look has seen."""
        return self.unseen and bool(self.ahead or self.pending())

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if flags == socket.MSG_PEEK:
            return self._look(buflen)
        self.unseen = True
        if self.ahead:
            found = bytes(self.ahead[:buflen])
            del self.ahead[:buflen]
            return found
        with _as_plain():
            return super().recv(buflen)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        found = self.recv(nbytes or len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def send(self, data: Any, flags: int = 0) -> int:
        with _as_plain():
            return super().send(data)

    def setsockopt(self, level: int, name: int, *value: Any) -> None:
        """How many bytes wake a reader is not for others to say: what is awaited are records."""
        if (level, name) != (socket.SOL_SOCKET, socket.SO_RCVLOWAT):
            super().setsockopt(level, name, *value)

    def shutdown(self, how: int) -> None:
        """Say the end in the seal, too, where we send no more (RFC 8446, 6.1); the client's word is not waited for."""
        if how == socket.SHUT_RD:
            socket.socket.shutdown(self, how)  # the base class would send the rest unsealed
            return
        with contextlib.suppress(OSError, ValueError):
            self.settimeout(0)
            self.unwrap()
        super().shutdown(how)

    def _look(self, most: int) -> bytes:
        """What is there, up to ``most`` bytes; raises ``BlockingIOError`` where nothing came since the last look."""
        self.unseen = False
        ended = False
        before = len(self.ahead)
        with contextlib.suppress(BlockingIOError), _as_plain():
            while not ended and len(self.ahead) < most:
                found = super().recv(_RECORD)
                self.ahead.extend(found)
                ended = not found
        if len(self.ahead) == before and not ended:
            raise BlockingIOError
        return bytes(self.ahead[:most])


class _Reader(StreamReader):
    """Reads a sealed connection."""

    def __init__(self, sock: "_Sealed", mode: str, bufsize: int) -> None:
        super().__init__(sock, mode, bufsize)
        self._sealed = sock

    def has_data(self) -> bool:
        """Whether something can be read that nobody has looked at."""
        return bool(super().has_data() or self._sealed.has_unseen())  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _as_plain() -> Iterator[None]:
    try:
        yield
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
        raise BlockingIOError from error
    except ssl.SSLError as error:
        raise ConnectionResetError(errno.ECONNRESET, str(error)) from error


@contextlib.contextmanager
def _naming(option: str, path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(option=f"[api] {option}", reason=f"{path} cannot be used: {reason}") from error

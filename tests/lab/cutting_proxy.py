"""A TCP proxy before a database server: it cuts a connection exactly at a COMMIT, or lets packets vanish.

It knows one thing of both protocols: a COMMIT is sent in one piece, as text.
"""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

COMMIT = b"COMMIT"


class CuttingProxy:
    """Listens on ``port`` of 127.0.0.1 for a server on another one."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._cut: str | None = None
        #: How many commits were cut.
        self.cuts = 0
        self._passing = threading.Event()
        self._passing.set()
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept, name="proxy", daemon=True)]
        self._threads[0].start()

    def cut_next_commit(self, when: str) -> None:
        """``before``: it never arrives; ``after``: it is done, and the answer never arrives."""
        assert when in {"before", "after"}
        self._cut = when

    def drop(self) -> None:
        """From now on what is sent vanishes; connections stay open."""
        self._passing.clear()

    def pass_on(self) -> None:
        """Packets pass again; what vanished comes late, as TCP would send it again."""
        self._passing.set()

    def close(self) -> None:
        """Cut everything."""
        self._closing.set()
        self._passing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), name="proxied", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._server_port)) as server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pump(client, server)

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as readable:
            readable.register(client, selectors.EVENT_READ, server)
            readable.register(server, selectors.EVENT_READ, client)
            while not self._closing.is_set():
                for key, _ in readable.select(0.2):
                    self._passing.wait()
                    data = key.fileobj.recv(1 << 16)
                    if not data or (key.fileobj is client and self._is_cut(data, server)):
                        return
                    key.data.sendall(data)

    def _is_cut(self, data: bytes, server: socket.socket) -> bool:
        if self._cut is None or COMMIT not in data:
            return False
        when, self._cut = self._cut, None
        if when == "after":
            server.sendall(data)
            assert server.recv(1 << 16)
        self.cuts += 1
        return True


@contextmanager
def cutting_proxy(server_port: int) -> Iterator[CuttingProxy]:
    """A proxy before the server on ``server_port`` of 127.0.0.1."""
    proxy = CuttingProxy(server_port)
    try:
        yield proxy
    finally:
        proxy.close()

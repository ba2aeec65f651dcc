"""A TCP proxy on 127.0.0.1 that can be a bad network: silent, cut, or refusing.

Knows bytes and connections; knows no protocol.
"""

import socket
import struct
import threading
from types import TracebackType

from tests.lab.ports import Port

#: Bytes taken at once.
CHUNK = 65536


class Proxy:
    """Passes connections to its ``port`` on to ``target`` (a port on 127.0.0.1), and hands bytes both ways.

    Begins by passing everything. What a silence holds back arrives after it, as with TCP: nothing is lost but time.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._claim = Port()
        self.port = self._claim.number
        self._guard = threading.Lock()
        self._open: set[socket.socket] = set()
        self._flows = threading.Event()
        self._flows.set()
        self._marker: bytes | None = None
        self._refuses = False
        self._met = threading.Event()
        self._lost: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    def __enter__(self) -> "Proxy":
        self.restore()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._claim.release()

    def restore(self) -> None:
        """Pass everything on again, also new connections."""
        self._marker, self._refuses = None, False
        self._listen()
        self._flows.set()

    def _listen(self) -> None:
        with self._guard:
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
                threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def drop(self) -> None:
        """A black hole: connections stay and new ones are taken, and no byte arrives anywhere."""
        self._flows.clear()

    def drop_from(self, marker: bytes) -> threading.Event:
        """The first connection whose client sends ``marker`` becomes a black hole for ever; the event says when.

        Other connections are passed on as before.
        """
        self._met = threading.Event()
        self._marker = marker
        return self._met

    def refuse_from(self, marker: bytes) -> threading.Event:
        """Pass everything on until a client sends ``marker``, and refuse all from then on; the event says when."""
        self._refuses = True
        met = self.drop_from(marker)
        self._listen()
        return met

    def lose(self) -> None:
        """Every connection that there is becomes a black hole for ever; new ones are passed on."""
        with self._guard:
            self._lost |= self._open

    def cut(self) -> None:
        """End every connection with a reset; new ones are passed on."""
        with self._guard:
            ended, self._open, self._lost = self._open, set(), set()
        for connection in ended:
            _reset(connection)

    def refuse(self) -> None:
        """Refuse new connections, and end every one that there is with a reset."""
        with self._guard:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept(2)
            listener.close()
        self.cut()
        self._flows.set()

    @property
    def connections(self) -> int:
        """How many clients are connected, and passed on."""
        with self._guard:
            return len(self._open) // 2

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._flows.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            _reset(client)
            return
        with self._guard:
            self._open |= {client, server}
        threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()
        self._pump(client, server, True)

    def _pump(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        try:
            while data := source.recv(CHUNK):
                if from_client and self._marker is not None and self._marker in data:
                    self._meet(source, sink)
                self._flows.wait()
                if source not in self._lost:
                    sink.sendall(data)
        except OSError:
            pass  # reset, by a side or by us
        self._flows.wait()
        if source not in self._lost:  # of one that is lost nobody hears even its end
            self._end(source, sink)

    def _meet(self, *connection: socket.socket) -> None:
        self._marker = None
        if self._refuses:
            self.refuse()
        else:
            self._lost |= set(connection)
        self._met.set()

    def _end(self, *ended: socket.socket) -> None:
        with self._guard:
            self._open -= set(ended)
        for connection in ended:
            _reset(connection)


def _reset(connection: socket.socket) -> None:
    """Close with RST (SO_LINGER with 0 seconds, socket(7)); a thread that reads from it is woken."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        pass  # the other side was first
    connection.close()

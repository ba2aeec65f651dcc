"""The end of a helper that listens: who may ask, one request after another on a connection, and an end in peace.

A request brings its caller's lock along (SCM_RIGHTS): it is held until the request has ended, so when the caller dies
meanwhile, its successor waits. Standard library only. Knows sockets and users; knows nothing of what is asked.
"""

import contextlib
import fcntl
import json
import logging
import os
import pwd
import signal
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from volumed.model.crash_points import kill_at
from volumed_drivers.helper import capabilities
from volumed_drivers.helper.wire import MOST_ASKED, Handed, Refused, receive, send

LOG = logging.getLogger("volumed-helper")

#: The first descriptor that systemd hands over. Source: sd_listen_fds(3).
FIRST_LISTENED = 3

#: Seconds that a caller may be silent until its connection is closed; it connects again when it has something to ask.
ASK_TIMEOUT = 30.0

#: Requests at once; one that hangs in the kernel holds one of them.
MOST_AT_ONCE = 64

#: Seconds that requests under way get when the helper is asked to end.
END_TIMEOUT = 10.0


class Desk(Protocol):
    """What a helper does."""

    def read(self, words: bytes) -> Any:
        """The request that was sent, checked to the last letter. Raises ``Refused``, quoting no secret."""

    def answer(self, request: Any, peer: int, lock: int | None) -> Any:
        """Do it for the user ``peer``; the answer in plain values, or ``Handed``. Raises ``Refused`` and ``OSError``.

        ``lock`` is the caller's; a program that is run for it and may outlive this one must hold it, too.
        """


class Server:
    """Serves ``listener``; ``users`` may ask, by the kernel's word (SO_PEERCRED)."""

    def __init__(self, listener: socket.socket, desk: Desk, users: frozenset[int]) -> None:
        self._listener = listener
        self._desk = desk
        self._users = users
        self._room = threading.BoundedSemaphore(MOST_AT_ONCE)

    def serve(self) -> None:
        """Until SIGTERM."""
        while True:
            stream, _ = self._listener.accept()
            threading.Thread(target=self._serve_one, args=(stream,), daemon=True).start()

    def drain(self) -> None:
        """Wait for the requests under way, bounded."""
        for _ in range(MOST_AT_ONCE):
            if not self._room.acquire(timeout=END_TIMEOUT):
                return

    def _serve_one(self, stream: socket.socket) -> None:
        with stream, contextlib.suppress(OSError):
            stream.settimeout(ASK_TIMEOUT)
            peer = _user_of(stream)
            if peer not in self._users:
                LOG.warning("refused user %d", peer)
                return
            while True:
                words, locks = receive(stream, MOST_ASKED)
                try:
                    with self._room:
                        answer, descriptor = self._judge(words, peer, locks[0] if locks else None)
                finally:
                    for lock in locks:
                        os.close(lock)
                try:
                    send(stream, json.dumps(answer).encode(), descriptor)
                finally:
                    if descriptor is not None:
                        os.close(descriptor)

    def _judge(self, words: bytes, peer: int, lock: int | None) -> tuple[dict[str, Any], int | None]:
        try:
            answer = self._desk.answer(self._desk.read(words), peer, lock)
        except Refused as refused:
            return {"refused": refused.kind, "reason": refused.reason}, None
        except OSError as error:
            LOG.warning("the kernel refuses: %s", error)
            reason = f"{error.filename or 'the kernel'}: {error.strerror or error}"
            return {"refused": "unreachable", "reason": reason}, None
        if isinstance(answer, Handed):
            return {"done": answer.value}, answer.descriptor
        return {"done": answer}, None


def listener_at(path: Path) -> socket.socket | None:
    """Where this helper listens: what systemd hands over, or ``path``; None when another helper does already."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    os.umask(0o077)
    if crash_point := os.environ.get("VOLUMED_CRASH_POINT"):
        kill_at(crash_point)
    return _handed_over() or _listen(path)


def serve(listener: socket.socket, desk: Desk, users: Sequence[str], kept: Sequence[int]) -> None:
    """Answer until SIGTERM, with the capabilities ``kept`` and no other; ``users`` may ask, root and we too."""
    capabilities.keep_only(*kept)
    allowed = frozenset({0, os.geteuid(), *(pwd.getpwnam(name).pw_uid for name in users)})
    server = Server(listener, desk, allowed)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        server.serve()
    except SystemExit:
        server.drain()


def _user_of(stream: socket.socket) -> int:
    credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def _handed_over() -> socket.socket | None:
    """The socket that systemd listens on for us."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    return socket.socket(fileno=FIRST_LISTENED)


def _listen(path: Path) -> socket.socket | None:
    """Listen on ``path``; None when another helper does. The lock beside it is held for life."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.bind(str(path))
    listener.listen(MOST_AT_ONCE)
    return listener

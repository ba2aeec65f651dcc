"""``volumed-lio``: the one process of a node that writes LIO's configfs, for whoever may ask on its socket.

It holds one capability, remembers nothing (the kernel does), and outlives the services that ask it. A request brings
its caller's lock along (SCM_RIGHTS): it is held until the request has ended, so when the caller dies meanwhile, its
successor waits. Standard library only. Knows sockets and users; knows LIO only through ``fabric``.
"""

import argparse
import contextlib
import fcntl
import json
import logging
import os
import pwd
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from volumed.model.crash_points import kill_at
from volumed_drivers.targets.lio import capabilities
from volumed_drivers.targets.lio.fabric import Fabric
from volumed_drivers.targets.lio.requests import (
    MOST_ASKED,
    PROTOCOL,
    Apply,
    Exports,
    Hello,
    Names,
    Refused,
    Remove,
    Request,
    Sessions,
    of_words,
    receive,
    send,
)

LOG = logging.getLogger("volumed-lio")

SOCKET = "/run/volumed/lio.sock"

#: The first descriptor that systemd hands over. Source: sd_listen_fds(3).
FIRST_LISTENED = 3

#: Seconds that a caller may be silent until its connection is closed; it connects again when it has something to ask.
ASK_TIMEOUT = 30.0

#: Requests at once; one that hangs in the kernel holds one of them.
MOST_AT_ONCE = 64

#: Seconds that requests under way get when the helper is asked to end.
END_TIMEOUT = 10.0


@dataclass(frozen=True)
class Desk:
    """Answers requests of users that may ask."""

    fabric: Fabric

    def answer(self, request: Request, peer: int) -> Any:
        """Do it; the answer in plain values. Raises ``Refused``, or the system's ``OSError``."""
        match request:
            case Hello():
                self.fabric.meet()
                return {"protocol": PROTOCOL, "pid": os.getpid()}
            case Apply():
                return self.fabric.apply(request, peer)
            case Remove():
                return self.fabric.remove(request)
            case Exports(scope):
                return [asdict(found) for found in self.fabric.exports(scope)]
            case Names(scope):
                return self.fabric.names(scope)
            case Sessions(scope, volume_id):
                return self.fabric.sessions(scope, volume_id)


class Helper:
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
                        answer = self._judge(words, peer)
                finally:
                    for lock in locks:
                        os.close(lock)
                send(stream, json.dumps(answer).encode())

    def _judge(self, words: bytes, peer: int) -> dict[str, Any]:
        try:
            return {"done": self._desk.answer(of_words(words), peer)}
        except Refused as refused:
            return {"refused": refused.kind, "reason": refused.reason}
        except OSError as error:
            LOG.warning("the kernel refuses: %s", error)
            return {"refused": "unreachable", "reason": f"{error.filename or 'LIO'}: {error.strerror or error}"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the helper until SIGTERM; returns the exit status."""
    told = options(argv)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(levelname)s: %(message)s", stream=sys.stderr)
    os.umask(0o077)
    if crash_point := os.environ.get("VOLUMED_CRASH_POINT"):
        kill_at(crash_point)
    listener = _handed_over() or _listen(Path(told.socket))
    if listener is None:
        return 0
    if told.load_modules:
        _load_modules()
    capabilities.keep_only(capabilities.CAP_SYS_ADMIN)
    users = frozenset({0, os.geteuid(), *(pwd.getpwnam(name).pw_uid for name in told.user)})
    helper = Helper(listener, Desk(Fabric(tuple(told.path))), users)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        helper.serve()
    except SystemExit:
        helper.drain()
    return 0


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="volumed-lio", description="Exports block devices by LIO for this node.")
    parser.add_argument("--socket", default=SOCKET, help="where to listen, unless systemd hands a socket over")
    parser.add_argument("--user", action="append", default=[], help="who may ask beside root; several may be given")
    parser.add_argument(
        "--path",
        action="append",
        help="beginning of the paths that may be exported, such as /dev/volumes/; several may be given (/dev/)",
    )
    parser.add_argument("--load-modules", action="store_true", help="load LIO's kernel modules first")
    told = parser.parse_args(argv)
    told.path = told.path or ["/dev/"]
    return told


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


def _load_modules() -> None:
    for module in ("configfs", "target_core_mod", "target_core_iblock", "target_core_file", "iscsi_target_mod"):
        subprocess.run(["modprobe", "-q", module], stdin=subprocess.DEVNULL, check=False, timeout=30)


if __name__ == "__main__":
    sys.exit(main())

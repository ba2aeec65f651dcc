"""The management protocol of tgtd: one request and one answer on a connection of its own.

Knows ``struct tgtadm_req`` and ``struct tgtadm_rsp`` of tgt 1.0.85 (usr/tgtadm.h) and the words of each request;
knows nothing of volumes. A request takes about 0.2 ms, where a tgtadm process takes 2 ms and shows passwords to ``ps``.
"""

import contextlib
import socket
import struct
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from volumed_drivers.local_sockets import connected

#: mode, op, lld[64], len, tid, sid, lun, cid, host_no, device_type, ac_dir, pack, force.
_REQUEST = struct.Struct("=II64sIiQQIIIIII")

#: err, len (of the whole answer, this head included).
_RESPONSE = struct.Struct("=II")

#: Seconds that tgtd may take for one request.
TIMEOUT = 10.0

_NO_TID = -1
_NO_LUN = (1 << 64) - 1


class Mode(IntEnum):
    SYSTEM = 0
    TARGET = 1
    DEVICE = 2
    PORTAL = 3
    CONNECTION = 6
    ACCOUNT = 7


class Op(IntEnum):
    NEW = 0
    DELETE = 1
    SHOW = 2
    BIND = 3
    UNBIND = 4
    UPDATE = 5


class Code(IntEnum):
    """``enum tgtadm_errno`` (usr/tgtadm_error.h)."""

    SUCCESS = 0
    UNKNOWN_ERROR = 1
    NO_MEMORY = 2
    NO_DRIVER = 3
    NO_TARGET = 4
    NO_LUN = 5
    NO_SESSION = 6
    NO_CONNECTION = 7
    NO_BINDING = 8
    TARGET_EXISTS = 9
    BINDING_EXISTS = 10
    LUN_EXISTS = 11
    ACL_EXISTS = 12
    NO_ACL = 13
    USER_EXISTS = 14
    NO_USER = 15
    TOO_MANY_USERS = 16
    INVALID_REQUEST = 17
    OUTGOING_ACCOUNT_EXISTS = 18
    TARGET_ACTIVE = 19
    LUN_ACTIVE = 20
    DRIVER_ACTIVE = 21
    UNSUPPORTED_OPERATION = 22
    UNKNOWN_PARAMETER = 23
    PREVENT_REMOVAL = 24


class Refused(Exception):
    """tgtd answered with an error. Never carries the request, which may hold a password."""

    def __init__(self, code: int, what: str) -> None:
        self.code = code
        name = Code(code).name.lower().replace("_", " ") if code in set(Code) else f"error {code}"
        super().__init__(f"tgtd refuses to {what}: {name}")


class Unanswered(Exception):
    """The request was sent and no answer came: it may have worked."""


class NotListening(Exception):
    """Nobody is behind the socket; nothing was sent."""


class Connection(NamedTuple):
    """One connection of a session that is logged in."""

    session: int
    connection: int
    initiator: str


class Management:
    """The requests that are used, each with its words. ``folder`` holds the socket ``name``.0 of one tgtd."""

    def __init__(self, folder: Path, name: str) -> None:
        self._socket = folder / f"{name}.0"

    def peer(self) -> int:
        """The process id of the tgtd behind the socket, from the kernel. Raises ``NotListening``.

        It asks for something all the same, and does not wait for the answer: tgtd may keep a connection that ends
        without a request, and read its end again and again (docs/targets/tgt.md).
        """
        with self._connect() as stream:
            credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            with contextlib.suppress(OSError):
                stream.sendall(_request(Mode.PORTAL, Op.SHOW))
        return int(struct.unpack("3i", credentials)[0])

    def shut_down(self) -> None:
        """Ask tgtd to end. Refused with ``DRIVER_ACTIVE`` while it has targets."""
        self._ask("end", _request(Mode.SYSTEM, Op.DELETE))

    def new_target(self, tid: int, name: str) -> None:
        self._ask("make a target", _request(Mode.TARGET, Op.NEW, tid=tid, words=f"targetname={name}"))

    def delete_target(self, tid: int, force: bool = False) -> None:
        """Delete the target with its LUNs; its accounts stay."""
        self._ask("delete a target", _request(Mode.TARGET, Op.DELETE, tid=tid, force=force))

    def show_targets(self) -> str:
        return self._ask("list targets", _request(Mode.TARGET, Op.SHOW))

    def show_portals(self) -> str:
        return self._ask("list portals", _request(Mode.PORTAL, Op.SHOW))

    def new_portal(self, portal: str) -> None:
        self._ask("make a portal", _request(Mode.PORTAL, Op.NEW, words=f"portal={portal}"))

    def show_accounts(self) -> str:
        return self._ask("list accounts", _request(Mode.ACCOUNT, Op.SHOW))

    def new_lun(self, tid: int, lun: int, path: str) -> None:
        self._ask("make a LUN", _request(Mode.DEVICE, Op.NEW, tid=tid, lun=lun, words=f"path={path}"))

    def update_lun(self, tid: int, lun: int, parameters: str) -> None:
        self._ask("change a LUN", _request(Mode.DEVICE, Op.UPDATE, tid=tid, lun=lun, words=parameters))

    def delete_lun(self, tid: int, lun: int) -> None:
        self._ask("delete a LUN", _request(Mode.DEVICE, Op.DELETE, tid=tid, lun=lun))

    def allow(self, tid: int, initiator: str) -> None:
        """Let ``initiator`` in; ``ALL`` is every initiator."""
        self._ask("allow an initiator", _request(Mode.TARGET, Op.BIND, tid=tid, words=_acl(initiator)))

    def disallow(self, tid: int, initiator: str) -> None:
        self._ask("disallow an initiator", _request(Mode.TARGET, Op.UNBIND, tid=tid, words=_acl(initiator)))

    def new_account(self, username: str, password: str) -> None:
        self._ask("make an account", _request(Mode.ACCOUNT, Op.NEW, words=f"user={username},password={password}"))

    def delete_account(self, username: str) -> None:
        """Delete the account, in every target that it is bound to."""
        self._ask("delete an account", _request(Mode.ACCOUNT, Op.DELETE, words=f"user={username}"))

    def bind_account(self, tid: int, username: str) -> None:
        self._ask("bind an account", _request(Mode.ACCOUNT, Op.BIND, tid=tid, words=f"user={username}"))

    def connections(self, tid: int) -> list[Connection]:
        """Every connection that is logged in to the target."""
        found, session, number = [], 0, 0
        for line in self._ask("list connections", _request(Mode.CONNECTION, Op.SHOW, tid=tid)).splitlines():
            key, _, value = line.strip().partition(": ")
            if key == "Session":
                session = int(value)
            elif key == "Connection":
                number = int(value)
            elif key == "Initiator":
                found.append(Connection(session, number, value.split(" ")[0]))
        return found

    def cut(self, tid: int, connection: Connection) -> None:
        session, number = connection.session, connection.connection
        request = _request(Mode.CONNECTION, Op.DELETE, tid=tid, session=session, connection=number)
        self._ask("cut a connection", request)

    def _ask(self, what: str, request: bytes) -> str:
        with self._connect() as stream:
            code, answer = _exchange(stream, request, what)
        if code != Code.SUCCESS:
            raise Refused(code, what)
        return answer.rstrip(b"\0").decode(errors="replace")

    def _connect(self) -> socket.socket:
        try:
            return connected(self._socket, TIMEOUT)
        except BlockingIOError as error:
            raise Unanswered(f"tgtd takes no connection within {TIMEOUT:.0f} s") from error
        except OSError as error:
            raise NotListening(f"{self._socket}: {error.strerror or error}") from error


def _request(
    mode: Mode,
    op: Op,
    tid: int = _NO_TID,
    lun: int = _NO_LUN,
    session: int = 0,
    connection: int = 0,
    force: bool = False,
    words: str = "",
) -> bytes:
    text = words.encode() + b"\0" if words else b""
    length = _REQUEST.size + len(text)
    return _REQUEST.pack(mode, op, b"iscsi", length, tid, session, lun, connection, 0, 0, 0, 0, force) + text


def _exchange(stream: socket.socket, request: bytes, what: str) -> tuple[int, bytes]:
    try:
        stream.sendall(request)
        code, length = _RESPONSE.unpack(_receive(stream, _RESPONSE.size))
        return code, _receive(stream, length - _RESPONSE.size)
    except OSError as error:
        raise Unanswered(f"tgtd did not answer when asked to {what}: {error.strerror or error}") from error


def _receive(stream: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        part = stream.recv(min(1 << 20, count - len(received)))
        if not part:
            raise ConnectionResetError("the connection ended in the middle of an answer")
        received += part
    return bytes(received)


def _acl(initiator: str) -> str:
    return "initiator-address=ALL" if initiator == "ALL" else f"initiator-name={initiator}"

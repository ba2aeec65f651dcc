"""An iSCSI initiator inside this process: libiscsi by ctypes, with no program started for a login.

Where starting a program is slow, as in a guest, a login takes 10 ms here. Knows libiscsi; knows nothing of volumed.
Source: iscsi/iscsi.h and iscsi/scsi-lowlevel.h of libiscsi 1.19.
"""

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

#: Bytes of one command, and of a block.
PIECE = 256 * 1024
BLOCK = 512

#: Seconds that a command may take.
TIMEOUT = 60

_NORMAL_SESSION = 2
_GOOD = 0


class InitiatorError(Exception):
    """The target does not let us in, or the session ended; the sentence is libiscsi's."""


class _Sense(ctypes.Structure):
    _fields_ = [
        ("error_type", ctypes.c_ubyte),
        ("key", ctypes.c_int),
        ("ascq", ctypes.c_int),
        ("flags", ctypes.c_ubyte),
        ("bit_pointer", ctypes.c_ubyte),
        ("field_pointer", ctypes.c_uint16),
    ]


class _Data(ctypes.Structure):
    _fields_ = [("size", ctypes.c_int), ("data", ctypes.POINTER(ctypes.c_ubyte))]


class _Task(ctypes.Structure):
    """The beginning of ``struct scsi_task``."""

    _fields_ = [
        ("status", ctypes.c_int),
        ("cdb_size", ctypes.c_int),
        ("xfer_dir", ctypes.c_int),
        ("expxferlen", ctypes.c_int),
        ("cdb", ctypes.c_ubyte * 16),
        ("residual_status", ctypes.c_int),
        ("residual", ctypes.c_size_t),
        ("sense", _Sense),
        ("datain", _Data),
    ]


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libiscsi.so.7")
    context, task = ctypes.c_void_p, ctypes.POINTER(_Task)
    library.iscsi_create_context.restype = context
    library.iscsi_get_error.restype = ctypes.c_char_p
    integer, long, char = ctypes.c_int, ctypes.c_uint64, ctypes.c_char_p
    block = [context, integer, long]
    library.iscsi_read16_sync.argtypes = [*block, ctypes.c_uint32, *[integer] * 6]
    library.iscsi_write16_sync.argtypes = [*block, char, ctypes.c_uint32, *[integer] * 6]
    library.iscsi_readcapacity16_sync.argtypes = [context, integer]
    library.iscsi_inquiry_sync.argtypes = [context, integer, integer, integer, integer]
    library.iscsi_synchronizecache10_sync.argtypes = [context, *[integer] * 5]
    for call in ("read16", "write16", "readcapacity16", "inquiry", "synchronizecache10"):
        getattr(library, f"iscsi_{call}_sync").restype = task
    return library


class Session:
    """A login that is held open."""

    def __init__(self, library: ctypes.CDLL, context: ctypes.c_void_p, lun: int) -> None:
        self._library = library
        self._context = context
        self._lun = lun

    def size(self) -> int:
        """Bytes, as the target says it now."""
        told = self._done(self._library.iscsi_readcapacity16_sync(self._context, self._lun))
        return (int.from_bytes(told[:8]) + 1) * int.from_bytes(told[8:12])

    def serial_number(self) -> str:
        """Source: SPC-4, vital product data page 0x80."""
        return (
            self._done(self._library.iscsi_inquiry_sync(self._context, self._lun, 1, 0x80, 255))[4:]
            .decode()
            .strip(" \0")
        )

    def write_pattern(self, pattern: int, offset: int, length: int) -> None:
        """Write ``length`` bytes of the value ``pattern`` from ``offset``, and flush."""
        for at in range(offset, offset + length, PIECE):
            data = bytes([pattern]) * min(PIECE, offset + length - at)
            self.write(at, data)
        self._done(self._library.iscsi_synchronizecache10_sync(self._context, self._lun, 0, 0, 0, 0))

    def has_pattern(self, pattern: int, offset: int, length: int) -> bool:
        """True when all these bytes have the value ``pattern``."""
        return all(
            self.read(at, (count := min(PIECE, offset + length - at))) == bytes([pattern]) * count
            for at in range(offset, offset + length, PIECE)
        )

    def write(self, offset: int, data: bytes) -> None:
        """Write whole blocks."""
        where = (self._context, self._lun, offset // BLOCK)
        self._done(self._library.iscsi_write16_sync(*where, data, len(data), BLOCK, 0, 0, 0, 0, 0))

    def read(self, offset: int, length: int) -> bytes:
        """Read whole blocks."""
        where = (self._context, self._lun, offset // BLOCK)
        return self._done(self._library.iscsi_read16_sync(*where, length, BLOCK, 0, 0, 0, 0, 0))

    def _done(self, task: Any) -> bytes:
        if not task:
            raise InitiatorError(self.error())
        try:
            found = task.contents
            if found.status != _GOOD:
                raise InitiatorError(f"status {found.status}, sense key {found.sense.key}: {self.error()}")
            return ctypes.string_at(found.datain.data, found.datain.size) if found.datain.size else b""
        finally:
            self._library.scsi_free_scsi_task(task)

    def error(self) -> str:
        return (self._library.iscsi_get_error(self._context) or b"the session ended").decode(errors="replace")


@contextmanager
def session(
    portal: str, target: str, lun: int, initiator: str, username: str | None, password: str | None
) -> Iterator[Session]:
    """Log in, once: a session that ends is not made again. Raises ``InitiatorError``."""
    library = _library()
    context = ctypes.c_void_p(library.iscsi_create_context(initiator.encode()))
    held = Session(library, context, lun)
    try:
        library.iscsi_set_targetname(context, target.encode())
        library.iscsi_set_session_type(context, _NORMAL_SESSION)
        library.iscsi_set_noautoreconnect(context, 1)
        library.iscsi_set_timeout(context, TIMEOUT)
        if username is not None:
            library.iscsi_set_initiator_username_pwd(context, username.encode(), (password or "").encode())
        if library.iscsi_full_connect_sync(context, portal.encode(), lun):
            raise InitiatorError(held.error())
        try:
            yield held
        finally:
            library.iscsi_logout_sync(context)
    finally:
        library.iscsi_destroy_context(context)


class NamedIscsi:
    """A data path for targets that let in by name: each user name has an initiator's name of its own."""

    authenticates = True

    def initiator(self, username: str) -> str | None:
        return f"iqn.2026-01.test:{username.lower()}"

    def write_pattern(self, info: Mapping[str, Any], pattern: int, offset: int, length: int) -> None:
        with self.session(info) as held:
            held.write_pattern(pattern, offset, length)

    def has_pattern(self, info: Mapping[str, Any], pattern: int, offset: int, length: int) -> bool:
        with self.session(info) as held:
            return held.has_pattern(pattern, offset, length)

    def size(self, info: Mapping[str, Any]) -> int:
        with self.session(info) as held:
            return held.size()

    @contextmanager
    def session(self, info: Mapping[str, Any]) -> Iterator[Session]:
        data = info["data"]
        name = self.initiator(data["auth_username"])
        assert name is not None
        where = (data["target_portal"], data["target_iqn"], data["target_lun"])
        with session(*where, name, data["auth_username"], data["auth_password"]) as held:
            yield held

"""What a helper may do, taken away but for what it needs, for good, in all that it runs.

Source: capabilities(7), prctl(2).
"""

import ctypes
import os
from pathlib import Path

#: Source: linux/capability.h.
CAP_CHOWN, CAP_DAC_READ_SEARCH, CAP_IPC_LOCK, CAP_SYS_PTRACE = 0, 2, 14, 19
CAP_SYS_ADMIN, CAP_SYS_NICE, CAP_MKNOD = 21, 23, 27

PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38

_VERSION_3 = 0x20080522
_LIBC = ctypes.CDLL(None, use_errno=True)


def keep_only(*kept: int) -> None:
    """Drop every capability but ``kept`` from this process, which has one thread. Without root it has none to drop."""
    _check(_LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    _check(_LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "no core file with secrets")
    if os.geteuid() != 0:
        return
    for number in range(_last() + 1):
        if number not in kept:
            _check(_LIBC.prctl(PR_CAPBSET_DROP, number, 0, 0, 0), f"capability {number}")
    held = sum(1 << number for number in kept)
    low, high = held & 0xFFFFFFFF, held >> 32
    head = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    _check(_LIBC.capset(head, data), "its capabilities")


def _last() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def _check(status: int, what: str) -> None:
    if status:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")

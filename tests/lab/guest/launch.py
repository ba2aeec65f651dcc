"""Becomes the guest's kernel; run as a program of its own, as root.

    python launch.py CPU FOLDER LIBRARIES PROGRAM ARGUMENTS...

All of the guest runs on the host's ``CPU``: its kernel and its processes take turns, and on two of them each turn waits
until the other one has woken up (measured: a system call takes four times as long).

In a mount namespace of its own ``FOLDER/host`` is the host's file system as it was, which the guest gets as its root.
After that the C library of ``LIBRARIES`` (empty: none) covers the host's, because ``PROGRAM`` was linked against a
newer one than the host may have. Writes its process id to ``FOLDER/pid``: killing that group is the machine's crash.
"""

import ctypes
import os
import resource
import sys
from pathlib import Path

#: Source: sched.h, sys/mount.h.
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

#: Where the loader looks for them, which on a merged /usr is /usr/lib.
COVERED = ("lib/x86_64-linux-gnu/libc.so.6", "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")

_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    cpu, folder, libraries, program, *arguments = sys.argv[1:]
    os.sched_setaffinity(0, {int(cpu)})
    _check(_LIBC.unshare(CLONE_NEWNS), "a mount namespace")
    _mount("none", "/", MS_REC | MS_PRIVATE)
    host = Path(folder, "host")
    host.mkdir(exist_ok=True)
    _mount("/", str(host), MS_BIND | MS_REC)
    Path(folder, "pid").write_text(str(os.getpid()))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if libraries:
        for covered in COVERED:
            _mount(str(Path(libraries, Path(covered).name)), f"/{covered}", MS_BIND)
    os.execv(program, [program, *arguments])


def _mount(source: str, target: str, flags: int) -> None:
    _check(_LIBC.mount(source.encode(), target.encode(), None, flags, None), f"mount {source} on {target}")


def _check(status: int, what: str) -> None:
    if status:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())} (a guest needs root)")


if __name__ == "__main__":
    main()

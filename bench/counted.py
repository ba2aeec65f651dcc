"""A service of a fleet that counts its SQL statements, each process in a file of its own, eight bytes.

Run as ``python -m bench.counted SERVICE ...``: the product has no hook for it, SQLAlchemy has.
"""

import mmap
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Names the folder of the counts for the services.
FOLDER = "BENCH_COUNTS"

_COUNT = struct.Struct("Q")


@contextmanager
def into(folder: Path) -> Iterator[None]:
    """Services that are started in the block count into ``folder``."""
    os.environ[FOLDER] = str(folder)
    try:
        yield
    finally:
        del os.environ[FOLDER]


def statements(folder: Path, pid: int) -> int:
    """How many the process has executed; BEGIN and COMMIT are none."""
    path = folder / str(pid)
    return int(_COUNT.unpack(path.read_bytes())[0]) if path.exists() else 0


class _Counter:
    """Of this process, and of those that are forked from it, each for itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid = 0
        self._count = 0
        self._shown = mmap.mmap(-1, _COUNT.size)

    def note(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if self._pid != os.getpid():
            self._pid, self._count = os.getpid(), 0
            path = self._folder / str(self._pid)
            path.write_bytes(_COUNT.pack(0))
            with path.open("r+b") as file:
                self._shown = mmap.mmap(file.fileno(), _COUNT.size)
        self._count += 1
        self._shown[:] = _COUNT.pack(self._count)


def main() -> int:
    """Be the service, counting."""
    from volumed.launch import concurrency

    concurrency.choose()
    from sqlalchemy import Engine, event

    from volumed.cmd.service import SERVICES

    event.listen(Engine, "before_cursor_execute", _Counter(Path(os.environ[FOLDER])).note)
    return SERVICES[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())

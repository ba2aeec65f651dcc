"""Start and memory of ``volumed up``: in an empty folder's second start, and with volumes and exports to restore."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench import raw, seed
from bench.daemon import Daemon, running
from bench.figure import Figure, milliseconds
from bench.waiting import wait_until

VOLUMES, EXPORTED = 1000, 200

#: What the raw start does: the libraries that any such service imports, and an open database.
_RAW_START = f"import {raw.LIBRARIES}; sqlite3.connect(':memory:').execute('SELECT 1')"


def start() -> Iterator[Figure]:
    """A start on a state folder that has its schema and no volume."""
    bare_seconds, bare_megabytes = _raw_start()
    with running() as daemon:
        daemon.stop()
        daemon.start()
        yield Figure("volumed up serves after", daemon.started_in, "s", "< 2", bare_seconds, "import the libraries")
        yield Figure("resident", daemon.resident_megabytes(), "MB", "< 140", bare_megabytes, "import the libraries")


def start_with_volumes() -> Iterator[Figure]:
    """The same with volumes, and every export gone with the tgtd that had them: all must be restored."""
    bare_seconds, bare_megabytes = _raw_start()
    what = f"with {VOLUMES:,} volumes, {EXPORTED} exported"
    with running() as daemon:
        seed.with_files(daemon, VOLUMES, EXPORTED)
        daemon.end_left_over()
        daemon.start()
        serving = daemon.started_in
        restored = serving + wait_until(lambda: len(targets(daemon)) == EXPORTED)
        resident = daemon.resident_megabytes()
        bare_restore = raw.restored_in(daemon.folder / "bare", sorted(daemon.state.rglob("volume-*"))[:EXPORTED])
        yield Figure(f"serves, {what}", serving, "s", "< 2", bare_seconds, "import the libraries")
        yield Figure("its exports restored after", restored, "s", "< 3", bare_restore, "bare requests to a bare tgtd")
        yield Figure(f"resident, {what}", resident, "MB", "< 140", bare_megabytes, "import the libraries")
        daemon.kill()
        daemon.start()
        yield Figure(
            f"serves after kill -9, {what}", daemon.started_in, "s", "< 2", bare_seconds, "import the libraries"
        )


def targets(daemon: Daemon) -> list[str]:
    """The targets that tgtd has, asked by its own tool."""
    found: list[str] = []
    for socket in (path for path in daemon.state.rglob("*.0") if path.is_socket()):
        said = subprocess.run(
            ["tgtadm", "--lld", "iscsi", "--mode", "target", "--op", "show"],
            cwd=socket.parent,
            env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "TGT_IPC_SOCKET": socket.name.removesuffix(".0")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        found += [line for line in said.splitlines() if line.startswith("Target ")]
    return found


def _raw_start() -> tuple[float, float]:
    """Seconds and resident megabytes of a process that only imports."""
    program = f"{_RAW_START}; print(flush=True); import signal; signal.pause()"
    with closing(_Bare(program)) as bare:
        seconds = milliseconds(bare.wait_for_line) / 1000
        return seconds, bare.resident_megabytes()


class _Bare:
    """A Python process that prints a line and waits."""

    def __init__(self, program: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def wait_for_line(self) -> None:
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError("the raw start failed: a library is not installed")

    def resident_megabytes(self) -> float:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def close(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

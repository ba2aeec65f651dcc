"""Keeps servers running for a process and ends them with it, however it ends; run as a program of its own.

    python keeper.py PID FOLDER COMMANDS

``PID`` is whom the servers are for. ``COMMANDS`` is JSON, a list of argument lists; the last one is the server, those
before it are what it needs. When ``PID`` or the server ends, or SIGTERM comes, all are killed and ``FOLDER`` (where not
empty) is removed; SIGUSR1 says that it is to stay from now on. Knows nothing of what it runs; imports nothing of ours,
so that it starts at once.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

#: Source: prctl(2).
PR_SET_PDEATHSIG = 1


def command_for(watched: int, folder: str, commands: Sequence[Sequence[str]]) -> list[str]:
    """The command line of a keeper."""
    return [sys.executable, "-I", __file__, str(watched), folder, json.dumps(commands)]


def main() -> None:
    watched, folder, commands = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    signal.signal(signal.SIGTERM, _end)
    stays: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: stays.append(number))
    running: list[subprocess.Popen[bytes]] = []
    try:
        life = os.pidfd_open(watched)
        for command in commands:
            running += [subprocess.Popen(command, preexec_fn=_die_with_me, start_new_session=True)]
        select.select([life, os.pidfd_open(running[-1].pid)], [], [])
    except ProcessLookupError:
        pass  # it has ended before it was watched
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for process in reversed(running):
            _kill(process)
        if folder and not stays:
            shutil.rmtree(folder, ignore_errors=True)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _die_with_me() -> None:
    """A keeper that is killed takes its servers along. Between fork and exec, in a process of one thread."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


if __name__ == "__main__":
    main()

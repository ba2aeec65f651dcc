"""The run of tests that this process is part of: what its servers are named after, and what they end with."""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil


def this_run() -> tuple[str, int]:
    """The name of this run of tests, and the process that lives as long as it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return os.environ["PYTEST_XDIST_TESTRUNUID"], os.getppid()
    return f"{os.getpid()}-{int(psutil.Process().create_time())}", os.getpid()


def started_once(kind: str, start: Callable[[Path, int], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """The folder of the run's one server of this kind, and what ``start`` told of it.

    The first who asks starts it, for all workers of pytest-xdist: in the folder, to be ended with the process given.
    """
    name, controller = this_run()
    folder = Path(tempfile.gettempdir()) / f"volumed-{kind}-{name}"
    folder.mkdir(exist_ok=True)
    told = folder / "told.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            told.write_text(json.dumps(start(folder, controller)))
    return folder, json.loads(told.read_text())

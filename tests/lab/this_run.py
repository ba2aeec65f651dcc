"""The run of tests that this process is part of: what its servers are named after, and what they end with."""

import os

import psutil


def this_run() -> tuple[str, int]:
    """The name of this run of tests, and the process that lives as long as it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return os.environ["PYTEST_XDIST_TESTRUNUID"], os.getppid()
    return f"{os.getpid()}-{int(psutil.Process().create_time())}", os.getpid()

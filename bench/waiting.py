"""Waiting for something outside to come true."""

import time
from collections.abc import Callable

PATIENCE = 300.0


def wait_until(true: Callable[[], bool], pause: float = 0.01) -> float:
    """Return the seconds after which ``true()`` was so."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > PATIENCE:
            raise RuntimeError("what is waited for does not come true")
        time.sleep(pause)
    return time.monotonic() - began

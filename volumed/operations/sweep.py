"""Looks at a service's own queue from time to time, for what no message woke.

Knows nothing of what is looked for: it calls ``look`` at the start, when ``now`` is called, and every interval.
"""

import logging
import random
import threading
from collections.abc import Callable

LOG = logging.getLogger(__name__)


class Sweep:
    """Calls ``look`` every ``interval`` seconds, with up to a fifth of jitter. ``name`` is for the log."""

    def __init__(self, name: str, interval: float, look: Callable[[], None]) -> None:
        self._name = name
        self._interval = interval
        self._look = look
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"sweep {name}", daemon=True)

    def start(self) -> None:
        """Begin; the first look is at once."""
        self._thread.start()

    def now(self) -> None:
        """Look as soon as possible, for instance after the broker came back."""
        self._wake.set()

    def stop(self) -> None:
        """End after the look that is under way."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._look()
            except Exception:
                LOG.exception("sweep of %s failed; it is tried again", self._name)
            self._wake.wait(self._interval * random.uniform(0.8, 1.2))
            self._wake.clear()

"""Brings a backend up: a driver that cannot start is tried again for ever, with growing pauses, and says why."""

import logging
import threading
from collections.abc import Callable

from volumed.driver.interface import Driver

LOG = logging.getLogger(__name__)

#: Seconds before the first new try, and at most between two.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


class Startup:
    """Runs the driver's set-up on a thread of its own and calls ``ready`` once, when it is up."""

    def __init__(self, host: str, driver: Driver, ready: Callable[[], None]) -> None:
        self._host = host
        self._driver = driver
        self._ready = ready
        self._state: tuple[str, str | None] = ("starting", None)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"startup {host}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def state(self) -> tuple[str, str | None]:
        """``up``, ``starting`` or ``down``, with the reason."""
        return self._state

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                self._driver.do_setup()
                self._driver.check_for_setup_error()
                self._ready()
            except Exception as error:
                self._state = ("down", str(error))
                LOG.error("backend %s cannot start, next try in %.0f s: %s", self._host, pause, error)
                LOG.debug("the trouble of %s:", self._host, exc_info=error)
                self._stopping.wait(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            else:
                self._state = ("up", None)
                return

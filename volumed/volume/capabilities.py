"""Tells the schedulers what the backend can do now: from time to time, when asked, and soon after a change."""

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from volumed.driver.interface import Capabilities
from volumed.model.errors import BackendError

LOG = logging.getLogger(__name__)

#: Seconds at least between two reports after changes: many volumes that come at once make one report.
CHANGE_SPACING = 0.5


class Reporter:
    """Publishes ``measure()`` through ``send``; numbered, so that a scheduler can drop what overtook another.

    ``about`` is what names the backend in each report: ``service_name``, ``host``, ``incarnation`` and the like.
    """

    def __init__(
        self,
        about: dict[str, Any],
        measure: Callable[[], Capabilities],
        send: Callable[[dict[str, Any]], None],
        interval: float,
    ) -> None:
        self._about = about
        self._measure = measure
        self._send = send
        self._interval = interval
        self._sequence = 0
        self._closed: frozenset[str] = frozenset()
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"capabilities {about['host']}", daemon=True)

    def start(self) -> None:
        """Report at once, and go on from there."""
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    def changed(self) -> None:
        """Something came or went: report soon."""
        self._changed.set()

    def notice(self, closed: frozenset[str]) -> None:
        """Report soon where other pools than before take no more: nobody asked for what was written into them."""
        if closed != self._closed:
            self._closed = closed
            self.changed()

    def publish(self) -> None:
        """Report now. A backend that cannot be measured is not reported; the log says why."""
        try:
            measured = self._measure()
        except BackendError as error:
            LOG.warning("capabilities of %s are unknown: %s", self._about["host"], error)
            return
        with self._guard:
            self._sequence += 1
            self._send(self._about | _plain(measured) | {"sequence": self._sequence})

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._changed.clear()
            try:
                self.publish()
            except Exception:
                LOG.exception("report of %s failed; the next one comes", self._about["host"])
            self._stopping.wait(min(CHANGE_SPACING, self._interval))
            self._changed.wait(self._interval)


def _plain(measured: Capabilities) -> dict[str, Any]:
    plain = asdict(measured)
    plain["pools"] = list(plain["pools"])
    return plain

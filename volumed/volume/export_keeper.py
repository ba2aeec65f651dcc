"""Keeps a backend's exports as the rows want them: from its start on, and after whatever unsettles them."""

import logging
import threading

from volumed.model.errors import BackendError
from volumed.operations.locks import NodeLocks
from volumed.operations.sweep import Sweep
from volumed.volume import exports
from volumed.volume.backend import Backend

LOG = logging.getLogger(__name__)

#: Seconds between two looks whether the target is alive.
INTERVAL = 2.0


class ExportKeeper:
    """One for a backend, on a thread of its own; its first look restores what a reboot of the node took."""

    def __init__(self, backend: Backend, locks: NodeLocks) -> None:
        self._backend = backend
        self._locks = locks
        #: Set while the exports may be others than the rows want.
        self._unsettled = threading.Event()
        self._unsettled.set()
        #: Why the target does not work, while it does not.
        self.trouble: str | None = None
        self._sweep = Sweep(f"target of {backend.host}", INTERVAL, self.look)

    def start(self) -> None:
        """Look now, and again and again; the driver is up."""
        self._sweep.start()

    def stop(self) -> None:
        """End after the look that is under way."""
        self._sweep.stop()

    def unsettle(self) -> None:
        """Have the exports compared with the rows soon."""
        self._unsettled.set()
        self._sweep.now()

    def look(self) -> None:
        """Restore what the target lost, or what could not be restored before."""
        try:
            if self._backend.driver.check_health() or self._unsettled.is_set():
                self._settle()
        except BackendError as error:
            if self.trouble != str(error):
                LOG.error("the target of %s does not work, it is looked after on and on: %s", self._backend.host, error)
            self.trouble = str(error)
        else:
            self.trouble = None

    def _settle(self) -> None:
        """Who unsettles the exports while they are compared has the next look: the rows may have been read already."""
        self._unsettled.clear()
        settled = False
        try:
            settled = exports.reconcile(self._backend, self._locks)
        finally:
            if not settled:
                self._unsettled.set()

"""Pauses by this process's own timer, which no change of the node's clock makes longer.

The row says until when an operation pauses, for whoever takes it over; who wrote it measures the pause himself.
"""

import threading
import time
from collections.abc import Callable

#: Seconds that a wake-up comes after its pause, so that the database's clock agrees that it is over.
CLOCK_GRAIN = 0.005


class Resting:
    """Asks for operations to be woken after their pause, and knows which pauses are over."""

    def __init__(self, wake_after: Callable[[str, str, float], None], clock: Callable[[], float] = time.monotonic):
        self._wake_after = wake_after
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def wake_after(self, operation_id: str, lane: str, seconds: float) -> None:
        """Have the operation looked at after ``seconds``."""
        with self._lock:
            self._until[operation_id] = self._clock() + seconds
        self._wake_after(operation_id, lane, seconds + CLOCK_GRAIN)

    def is_over(self, operation_id: str) -> bool:
        """True when the pause that was asked for here is over."""
        with self._lock:
            until = self._until.get(operation_id)
        return until is not None and self._clock() >= until

    def forget(self, operation_id: str) -> None:
        """The operation was taken: its pause means nothing any more."""
        with self._lock:
            self._until.pop(operation_id, None)

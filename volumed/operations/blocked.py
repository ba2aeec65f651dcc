"""Watches the threads that run operations: which step each is in, and since when it has given no sign of life.

A call inside the process (a library, a dead file system) cannot be interrupted. It can be seen and told.
Knows nothing of operations but their ids.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Call:
    """What a thread is in: a step of an operation (``undo of NAME`` for its undo). ``sign``: its last sign of life."""

    operation_id: str
    what: str
    sign: float
    #: Somebody was told that it is blocked.
    told: bool = False


class CallWatch:
    """The calls of one engine. Times are of ``clock``, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: dict[str, Call] = {}

    def enter(self, operation_id: str, what: str) -> None:
        """The operation's thread is about to make a call."""
        with self._lock:
            self._calls[operation_id] = Call(operation_id, what, self._clock())

    def live(self, operation_id: str) -> bool:
        """The call makes progress; True when it was told to be blocked before."""
        with self._lock:
            call = self._calls.get(operation_id)
            if call is None:
                return False
            self._calls[operation_id] = replace(call, sign=self._clock(), told=False)
            return call.told

    def leave(self, operation_id: str) -> None:
        """The call has returned."""
        with self._lock:
            self._calls.pop(operation_id, None)

    def blocked(self, seconds: float) -> list[Call]:
        """Calls without a sign of life for ``seconds`` that nobody was told of yet; from now on they are told."""
        with self._lock:
            found = [call for call in self._silent(seconds) if not call.told]
            for call in found:
                self._calls[call.operation_id] = replace(call, told=True)
        return found

    def stuck(self, seconds: float) -> list[Call]:
        """Calls without a sign of life for ``seconds``."""
        with self._lock:
            return self._silent(seconds)

    def silence(self, call: Call) -> float:
        """Seconds since the call's last sign of life."""
        return self._clock() - call.sign

    def _silent(self, seconds: float) -> list[Call]:
        return [call for call in self._calls.values() if self._clock() - call.sign >= seconds]

"""Changes of one object by several threads, made as one: what comes while one is under way goes with the next.

Knows keys and values; knows nothing of what they mean.
"""

import threading
from collections.abc import Callable, Mapping

#: Values by key; None takes the key away.
Entries = Mapping[str, bytes | None]


class Together:
    """``write(entries, waits)`` makes one change; it raises when nothing of it is made, unless nobody ``waits``."""

    def __init__(self, write: Callable[[Entries, bool], None]) -> None:
        self._write = write
        self._guard = threading.Lock()
        self._turn = threading.Lock()
        self._next = _Change()

    def change(self, key: str, value: bytes | None) -> None:
        """Return when it is made. Raises what ``write`` raises, to everybody whose entry was in it."""
        ours = self._add(key, value, waits=True)
        with self._turn:
            if not ours.is_over:
                self._make(ours)
        self._make_what_nobody_waits_for()
        if ours.error is not None:
            raise ours.error

    def remove_soon(self, key: str) -> None:
        """With the next change if one is under way, else now; nobody waits for it or hears of a failure."""
        self._add(key, None, waits=False)
        self._make_what_nobody_waits_for()

    def _add(self, key: str, value: bytes | None, waits: bool) -> "_Change":
        with self._guard:
            ours = self._next
            ours.entries[key] = value
            ours.waits |= waits
        return ours

    def _make_what_nobody_waits_for(self) -> None:
        """Whoever has the turn does it afterwards, so that nothing is left."""
        while self._next.entries and not self._next.waits and self._turn.acquire(blocking=False):
            try:
                self._make(self._next)
            finally:
                self._turn.release()

    def _make(self, ours: "_Change") -> None:
        with self._guard:
            self._next = _Change()
        try:
            self._write(ours.entries, ours.waits)
        except BaseException as error:  # whoever waits hears of it, whatever it is
            ours.error = error
        finally:
            ours.is_over = True


class _Change:
    def __init__(self) -> None:
        self.entries: dict[str, bytes | None] = {}
        self.waits = False
        self.is_over = False
        self.error: BaseException | None = None

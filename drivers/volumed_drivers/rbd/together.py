"""Changes of one object by several threads, made as one: what comes while one is under way goes with the next.

Knows keys and values; knows nothing of what they mean.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Change:
    """``entries``: values by key; None takes the key away. Nothing of it is made unless every key of ``new`` is absent.

    Nobody waits for those of ``unheard``, or hears of a failure.
    """

    entries: dict[str, bytes | None] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)
    unheard: set[str] = field(default_factory=set)
    is_over: bool = False
    error: BaseException | None = None

    @property
    def waits(self) -> bool:
        """Whether somebody does."""
        return len(self.unheard) < len(self.entries)


class Together:
    """``write`` makes one change; it raises when nothing of it is made, unless nobody waits."""

    def __init__(self, write: Callable[[Change], None]) -> None:
        self._write = write
        self._guard = threading.Lock()
        self._turn = threading.Lock()
        self._next = Change()
        self._to_come = 0

    def change(self, key: str, value: bytes | None, is_new: bool = False) -> None:
        """Return when it is made. Raises what ``write`` raises, to everybody whose entry was in it."""
        ours = self._add(key, value, is_new, waits=True)
        with self._turn:
            if not ours.is_over:
                self._make(ours)
        self._make_what_nobody_waits_for()
        if ours.error is not None:
            raise ours.error

    def remove_later(self, key: str) -> None:
        """With the next change if one is under way or announced, else now; nobody waits, or hears of a failure."""
        self._add(key, None)
        self._make_what_nobody_waits_for()

    @contextmanager
    def more_to_come(self) -> Iterator[None]:
        """Announces changes; when the last block of those under way ends, what was left for later is made."""
        with self._guard:
            self._to_come += 1
        try:
            yield
        finally:
            with self._guard:
                self._to_come -= 1
            self._make_what_nobody_waits_for()

    def _add(self, key: str, value: bytes | None, is_new: bool = False, waits: bool = False) -> Change:
        with self._guard:
            ours = self._next
            ours.entries[key] = value
            (ours.new.add if is_new else ours.new.discard)(key)
            (ours.unheard.discard if waits else ours.unheard.add)(key)
        return ours

    def _make_what_nobody_waits_for(self) -> None:
        """Whoever has the turn does it afterwards, so that nothing is left."""
        while self._is_due() and self._turn.acquire(blocking=False):
            try:
                if self._is_due():
                    self._make(self._next)
            finally:
                self._turn.release()

    def _is_due(self) -> bool:
        ours = self._next
        return bool(ours.entries) and not ours.waits and not self._to_come

    def _make(self, ours: Change) -> None:
        with self._guard:
            self._next = Change()
        try:
            self._write(ours)
        except BaseException as error:  # whoever waits hears of it, whatever it is
            ours.error = error
            self._take_along(ours)
        finally:
            ours.is_over = True

    def _take_along(self, failed: Change) -> None:
        """What nobody waits for, in a change that failed by somebody else's part, goes with the next."""
        with self._guard:
            for key in (failed.unheard if failed.waits else set()) - self._next.entries.keys():
                self._next.entries[key] = None
                self._next.unheard.add(key)

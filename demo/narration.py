"""Tells the story: numbered steps with their time, facts below them, and a verdict at the end."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Narrator:
    """Prints to stdout; colours only where a terminal reads."""

    def __init__(self) -> None:
        self._number = 0
        self._began = time.monotonic()
        self._colour = sys.stdout.isatty()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step: its title first, what it found below, its time at the end."""
        self._number += 1
        self._print(f"\n{self._number:2}. {title}", "1")
        began = time.monotonic()
        yield
        self._print(f"    done in {duration(time.monotonic() - began)}", "32")

    def fact(self, text: str) -> None:
        """Something that was seen."""
        self._print(f"    {text}")

    def quote(self, text: str) -> None:
        """What a command printed."""
        for line in text.rstrip().splitlines():
            self._print(f"    | {line}", "2")

    def good(self, text: str) -> None:
        self._print(f"\n{text} ({duration(time.monotonic() - self._began)} in all)", "1;32")

    def bad(self, text: str) -> None:
        self._print(f"\n{text}", "1;31")

    def _print(self, text: str, style: str = "") -> None:
        print(f"\x1b[{style}m{text}\x1b[0m" if style and self._colour else text, flush=True)


def duration(seconds: float) -> str:
    """``27 ms``, ``1.20 s``."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"

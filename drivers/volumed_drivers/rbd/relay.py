"""Brings librbd's progress to whoever watches."""

from volumed.driver.interface import Progress


class Relay:
    """Keeps what a progress raises, which librbd does not let through; ``settle`` raises it when the call has ended."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._error: BaseException | None = None

    def __call__(self, done: int, total: int) -> int:
        """Told by librbd, in its own unit; 0 lets it go on, and it heeds nothing else."""
        if self._error is None:
            try:
                self._progress(min(done, total), total)
            except BaseException as error:
                self._error = error
        return 0

    def settle(self) -> None:
        """Raise what the progress raised first."""
        if self._error is not None:
            raise self._error

"""What the suite needs from whoever brings a driver: the backend, and a way to its data.

Knows nothing of any backend.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from volumed.driver.interface import Driver

#: What ``Driver.connection_info`` answers.
ConnectionInfo = Mapping[str, Any]


class HeldSession(Protocol):
    """A login that is held open."""

    def write_pattern(self, pattern: int, offset: int, length: int) -> None: ...

    def has_pattern(self, pattern: int, offset: int, length: int) -> bool:
        """False when some byte differs. Raises when the session does not live any more."""


class DataPath(Protocol):
    """An initiator: reads and writes a volume with nothing but its connection info.

    A login that the backend refuses raises.
    """

    #: False where the target lets everybody in, such as a fake one: then refusals are not tested.
    authenticates: bool

    def initiator(self, username: str) -> str | None:
        """The name under which it logs in as ``username``; None where the target lets in whoever knows the secret."""

    def write_pattern(self, info: ConnectionInfo, pattern: int, offset: int, length: int) -> None:
        """Write ``length`` bytes of the value ``pattern`` from ``offset``, flushed."""

    def has_pattern(self, info: ConnectionInfo, pattern: int, offset: int, length: int) -> bool:
        """True when all these bytes have the value ``pattern``."""

    def size(self, info: ConnectionInfo) -> int:
        """The volume's size in bytes as a new login sees it."""

    def session(self, info: ConnectionInfo) -> AbstractContextManager[HeldSession]:
        """Log in and stay; used only where ``authenticates``."""


class Lab(Protocol):
    """One backend that the suite may use as its own; it is empty at first, and empty again after each test."""

    data: DataPath
    #: The pool that volumes are placed in.
    pool: str

    def driver(self) -> Driver:
        """A new driver object of the same backend, as the next process would make it; not yet set up."""

"""The kinds of operation of a backend that is lost: how each ends without it. Nothing here asks a driver."""

from collections.abc import Sequence
from typing import Any, cast

from volumed.db.engine import Database
from volumed.db.operations import NewOperation
from volumed.driver.interface import Driver
from volumed.operations.procedure import Procedure
from volumed.volume import kinds
from volumed.volume.backend import Backend
from volumed.volume.capabilities import Reporter


class _Nobody:
    """Stands where a backend would: its end is written without it."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} of a backend that is lost")


class _Silence:
    def changed(self) -> None:
        """Nobody reports any more."""


def procedures(database: Database, host: str, count_gigabytes: bool) -> Sequence[Procedure]:
    """Every kind of operation that may stand in the queue of ``host``."""
    backend = Backend(host, cast(Driver, _Nobody()), database, export_on_create=False)
    reporter = cast(Reporter, _Silence())
    return kinds.procedures(backend, reporter, _leave, _leave_queued, count_gigabytes, count_until_purged=False)


def _leave() -> None:
    """There are no exports to compare."""


def _leave_queued(queued: NewOperation) -> None:
    """Nobody takes it."""

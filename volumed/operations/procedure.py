"""What a kind of operation is: its steps with their undo, and what its end writes.

The engine runs a procedure and knows nothing of volumes; a procedure knows nothing of claims, retries and crashes.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from volumed.db.operations import NewOperation
from volumed.model.records import Json, Operation
from volumed.operations.locks import Claims

#: What a procedure carries from step to step: the rows it works on and the facts it found.
Work = Any
W_contra = TypeVar("W_contra", contravariant=True)


class Step(Protocol[W_contra]):
    """One effect and how it is taken back. Both may run twice, and ``undo`` also when ``do`` never happened."""

    @property
    def name(self) -> str:
        """Its name in the timeline and in crash points."""

    def do(self, work: W_contra) -> None: ...

    def undo(self, work: W_contra) -> None: ...


class OneWay:
    """A step from which there is no way back: it stands at or behind its procedure's ``no_return``."""

    def undo(self, work: object) -> None:
        raise AssertionError(f"{type(self).__name__} is never undone")


@dataclass(frozen=True, slots=True)
class PoolChange:
    """A change of a storage's allocation, made last in the ending transaction."""

    storage_id: str
    size: int  # GiB
    volumes: int


@dataclass(frozen=True, slots=True)
class Tried:
    """Where an attempt was made, for the placement of the next one."""

    host: str | None
    storage_id: str | None
    error: Json = field(default_factory=dict)

    def as_record(self) -> Json:
        return {"host": self.host, "storage_id": self.storage_id, "error": self.error}


class Elsewhere(Protocol):
    """How a failed attempt makes room for another one on another backend."""

    def retreat(self, tx: Connection, work: Work, error: Json) -> tuple[Tried, PoolChange | None] | None:
        """Give the placement back so that the scheduler may try again; None: it was not the scheduler's."""

    def cleanup(self, work: Work) -> NewOperation:
        """The operation that removes what the undo could not remove in time."""


class Procedure(Protocol):
    """A kind of operation."""

    @property
    def kind(self) -> str:
        """The operation's kind, as its row names it."""

    @property
    def steps(self) -> tuple[Step[Any], ...]:
        """What is done, in this order."""

    @property
    def no_return(self) -> str | None:
        """From this step on there is no way back: it is only tried again. None: everything can be undone."""

    @property
    def elsewhere(self) -> Elsewhere | None:
        """How another backend may try; None: this kind is never placed on another one."""

    def prepare(self, operation: Operation) -> Work:
        """Read what the steps need. Raises ``NotFound`` when the resource is gone."""

    def locks(self, work: Work) -> Claims:
        """What is locked on this node while the steps run."""

    def succeed(self, tx: Connection, work: Work) -> PoolChange | None:
        """Write the end as asked: quota first, then resources by id, with their events."""

    def fail(self, tx: Connection, work: Work, error: Json) -> PoolChange | None:
        """Write the end after the undo (or where there was no way back): the declared error status and its reason."""

    def ended(self, work: Work, state: str) -> None:
        """Called after the ending transaction, without promises: a crash may skip it."""

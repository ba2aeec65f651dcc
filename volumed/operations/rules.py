"""How stubborn the engine is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """Times in seconds; see the options of the same names in the group ``operations``.

    ``endless`` are kinds that are tried forward for as long as it takes: nobody would take them up after us.
    """

    forward_retries: int
    retry_pause: float
    undo_timeout: float
    lock_patience: float
    progress_interval: float
    endless: frozenset[str] = frozenset()
    blocked_after: float = 30.0
    stuck_timeout: float = 600.0
    busy_timeout: float = 0.0

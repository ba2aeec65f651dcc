"""What crash points, timeline and outbox cost: creates with and without them, side by side in one run.

``bench.without_safety`` says exactly what is switched off.
"""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

from bench.creates import Watcher, create, timed
from bench.daemon import Daemon, running
from bench.figure import Figure

WITHOUT = ("-m", "bench.without_safety")

#: By turns, so that both meet the same machine.
TURNS, CREATES = 40, 25


class _Side:
    """One of the two servers, and what its creates took."""

    def __init__(self, daemon: Daemon, watcher: Watcher, connection: HTTPConnection) -> None:
        self._daemon = daemon
        self._watcher = watcher
        self._connection = connection
        self.milliseconds: list[float] = []
        self.cpu = 0.0

    def warm_up(self) -> None:
        for _ in range(CREATES):
            create(self._connection, self._watcher)

    def turn(self) -> None:
        before = self._daemon.cpu_seconds()
        self.milliseconds += [timed(self._connection, self._watcher)[1] for _ in range(CREATES)]
        self.cpu += self._daemon.cpu_seconds() - before


def cost() -> Iterator[Figure]:
    """Latency and CPU of a create, one client; the guide is a ratio below 1.1."""
    with ExitStack() as stack:
        full, bare = _side(stack), _side(stack, WITHOUT)
        for side in (full, bare):
            side.warm_up()
        for number in range(TURNS):
            for side in (full, bare) if number % 2 else (bare, full):
                side.turn()
    beside = "without crash points, timeline and outbox"
    creates = TURNS * CREATES
    yield Figure(
        "create to available with all crash safety, p50",
        statistics.median(full.milliseconds),
        "ms",
        "ratio < 1.1",
        statistics.median(bare.milliseconds),
        beside,
    )
    yield Figure(f"CPU of {creates:,} creates with all crash safety", full.cpu, "s", "ratio < 1.1", bare.cpu, beside)


def _side(stack: ExitStack, *command: tuple[str, ...]) -> _Side:
    daemon = stack.enter_context(running(*command))
    watcher = stack.enter_context(Watcher(daemon))
    return _Side(daemon, watcher, stack.enter_context(closing(daemon.connect())))

"""Two bounded lanes of workers, so that copies never starve an attach.

A lane holds ids only. The same id is never run twice at a time; woken while it runs, it is looked at once more after.
"""

import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping

LOG = logging.getLogger(__name__)

SHORT = "short"
LONG = "long"


class Lanes:
    """Runs ``run(id)`` on ``workers[lane]`` threads a lane. ``name`` is the service's, for thread names."""

    def __init__(self, name: str, workers: Mapping[str, int], run: Callable[[str], None]) -> None:
        self._run = run
        self._queues: dict[str, queue.SimpleQueue[str | None]] = {lane: queue.SimpleQueue() for lane in workers}
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), name=f"{lane} {name} {number}", daemon=True)
            for lane, count in workers.items()
            for number in range(count)
        ]
        self._guard = threading.Lock()
        #: Ids that are queued or running; True: woken again meanwhile.
        self._known: dict[str, bool] = {}
        self._running: set[str] = set()
        self._stopping = False
        self._later: list[tuple[float, int, str, str]] = []
        self._order = itertools.count()
        self._timing = threading.Condition()
        self._timer = threading.Thread(target=self._tick, name=f"timer {name}", daemon=True)

    def start(self) -> None:
        """Begin to run what was and will be woken."""
        for thread in (*self._threads, self._timer):
            thread.start()

    def wake(self, operation_id: str, lane: str) -> None:
        """Run ``operation_id`` as soon as its lane has a thread; costs nothing when it is waiting there already."""
        with self._guard:
            if operation_id in self._known:
                self._known[operation_id] = operation_id in self._running
                return
            self._known[operation_id] = False
        self._queues[lane].put(operation_id)

    def wake_after(self, operation_id: str, lane: str, seconds: float) -> None:
        """The same after a pause, without a thread waiting."""
        with self._timing:
            heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), operation_id, lane))
            self._timing.notify()

    def stop(self, timeout: float) -> bool:
        """Take nothing new and wait up to ``timeout`` seconds for what runs; True when nothing runs any more."""
        self._stopping = True
        with self._timing:
            self._timing.notify()
        for lane, waiting in self._queues.items():
            for _ in [thread for thread in self._threads if thread.name.startswith(f"{lane} ")]:
                waiting.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self, lane: str) -> None:
        waiting = self._queues[lane]
        while (operation_id := waiting.get()) is not None and not self._stopping:
            with self._guard:
                self._running.add(operation_id)
                self._known[operation_id] = False
            try:
                self._run(operation_id)
            except Exception:
                LOG.exception("operation %s failed outside its steps; the sweep takes it up again", operation_id)
            with self._guard:
                self._running.discard(operation_id)
                again = self._known.pop(operation_id)
            if again:
                self.wake(operation_id, lane)

    def _tick(self) -> None:
        with self._timing:
            while not self._stopping:
                due = self._later[0][0] - time.monotonic() if self._later else None
                if due is None or due > 0:
                    self._timing.wait(due)
                    continue
                _, _, operation_id, lane = heapq.heappop(self._later)
                self.wake(operation_id, lane)

"""Bounded lanes of workers, so that copies never starve an attach, and what nobody waits for starves no copy.

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

#: For work that frees or tidies up and that no request waits for: wipes, purges, flattening.
IDLE = "idle"

#: For what was taken several times and never came to a rest: one at a time, so that what kills its process is known.
SUSPECT = "suspect"

#: Stand-ins that a lane has at most, as a multiple of its threads.
MOST_STAND_INS = 2


class Lanes:
    """Runs ``run(id)`` on ``workers[lane]`` threads a lane. ``name`` is the service's, for thread names."""

    def __init__(self, name: str, workers: Mapping[str, int], run: Callable[[str], None]) -> None:
        self._run = run
        self._queues: dict[str, queue.SimpleQueue[str | None]] = {lane: queue.SimpleQueue() for lane in workers}
        self._name = name
        self._workers = workers
        self._threads = [self._thread(lane, number) for lane, count in workers.items() for number in range(count)]
        self._guard = threading.Lock()
        #: Ids that wait, and in which lanes: the first of them that has a thread runs it.
        self._waiting: dict[str, set[str]] = {}
        #: Ids that were woken while they ran, and in which lane.
        self._again: dict[str, str] = {}
        #: Ids that run, and in which lane.
        self._running: dict[str, str] = {}
        #: Ids whose thread somebody stands in for; it ends with its run.
        self._stood_in: dict[str, str] = {}
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
        """Run ``operation_id`` as soon as the lane has a thread; costs nothing when it is waiting there already."""
        with self._guard:
            if operation_id in self._running:
                self._again[operation_id] = lane
                return
            waits_in = self._waiting.setdefault(operation_id, set())
            if lane in waits_in:
                return
            waits_in.add(lane)
        self._queues[lane].put(operation_id)

    def wake_after(self, operation_id: str, lane: str, seconds: float) -> None:
        """The same after a pause, without a thread waiting."""
        with self._timing:
            heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), operation_id, lane))
            self._timing.notify()

    def stand_in(self, operation_id: str) -> None:
        """Give the lane another thread while the one that runs ``operation_id`` is blocked; bounded in number."""
        with self._guard:
            lane = self._running.get(operation_id)
            if lane is None or self._stopping or operation_id in self._stood_in:
                return
            already = list(self._stood_in.values()).count(lane)
            if already >= MOST_STAND_INS * self._workers[lane]:
                return
            self._stood_in[operation_id] = lane
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            thread = self._thread(lane, self._workers[lane] + already)
            self._threads.append(thread)
        thread.start()

    def stop(self, timeout: float) -> bool:
        """Take nothing new and wait up to ``timeout`` seconds for what runs; True when nothing runs any more."""
        self._stopping = True
        with self._timing:
            self._timing.notify()
        for lane, waiting in self._queues.items():
            for _ in range((1 + MOST_STAND_INS) * self._workers[lane]):
                waiting.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _thread(self, lane: str, number: int) -> threading.Thread:
        return threading.Thread(target=self._work, args=(lane,), name=f"{lane} {self._name} {number}", daemon=True)

    def _work(self, lane: str) -> None:
        waiting = self._queues[lane]
        is_stood_in = False
        while not is_stood_in and (operation_id := waiting.get()) is not None and not self._stopping:
            with self._guard:
                if lane not in self._waiting.get(operation_id, ()):
                    continue  # another lane was faster
                del self._waiting[operation_id]
                self._running[operation_id] = lane
            try:
                self._run(operation_id)
            except Exception:
                LOG.exception("operation %s failed outside its steps; the sweep takes it up again", operation_id)
            with self._guard:
                del self._running[operation_id]
                again = self._again.pop(operation_id, None)
                is_stood_in = self._stood_in.pop(operation_id, None) is not None
            if again is not None:
                self.wake(operation_id, again)

    def _tick(self) -> None:
        with self._timing:
            while not self._stopping:
                due = self._later[0][0] - time.monotonic() if self._later else None
                if due is None or due > 0:
                    self._timing.wait(due)
                    continue
                _, _, operation_id, lane = heapq.heappop(self._later)
                self.wake(operation_id, lane)

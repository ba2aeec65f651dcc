"""A few threads that place what they are told to, each job once however often it is named."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

LOG = logging.getLogger(__name__)

Job = TypeVar("Job", bound=Hashable)


class Workers(Generic[Job]):
    """``count`` threads that call ``work`` with each submitted job. What they leave, the next sweep finds."""

    def __init__(self, count: int, work: Callable[[Job], None]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._waiting: set[Job] = set()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"placement {number}", daemon=True) for number in range(count)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Have the job done soon; it is in the queue at most once."""
        with self._lock:
            if job in self._waiting:
                return
            self._waiting.add(job)
        self._queue.put(job)

    def stop(self, timeout: float) -> None:
        """End after what is under way, waiting for at most ``timeout`` seconds."""
        self._stopping = True
        for _ in self._threads:
            self._queue.put(None)
        end = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while (job := self._queue.get()) is not None and not self._stopping:
            with self._lock:
                # Before the work: what is submitted from now on may be news that this run does not see.
                self._waiting.discard(job)
            try:
                self._work(job)
            except Exception:
                LOG.exception("placement of %s failed; the sweep tries again", job)

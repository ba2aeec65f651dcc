"""Tasks that come round: each with its own spacing, and a failure of one is logged and stops no other."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """``run`` is called every ``spacing`` seconds; 0 stands for the service's ``periodic_interval``."""

    name: str
    run: Callable[[], None]
    spacing: float = 0


class PeriodicTasks:
    """One thread that runs a service's tasks when each is due.

    ``interval`` is the spacing of a task that names none (seconds); the first round starts after a random delay of up
    to ``fuzzy_delay`` seconds, so that a fleet which starts together does not work together.
    """

    def __init__(self, name: str, tasks: Sequence[PeriodicTask], interval: float, fuzzy_delay: float) -> None:
        self._tasks = tasks
        self._interval = interval
        self._fuzzy_delay = fuzzy_delay
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"periodic {name}", daemon=True)

    def start(self) -> None:
        """Begin, after the delay."""
        self._thread.start()

    def stop(self) -> None:
        """End after the task that runs."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        first = time.monotonic() + random.uniform(0, self._fuzzy_delay)
        due = {task.name: first for task in self._tasks}
        while due and not self._stopping.wait(max(0.0, min(due.values()) - time.monotonic())):
            for task in self._tasks:
                if due[task.name] <= time.monotonic() and not self._stopping.is_set():
                    self._run_one(task)
                    due[task.name] = time.monotonic() + (task.spacing or self._interval)

    def _run_one(self, task: PeriodicTask) -> None:
        try:
            task.run()
        except Exception:
            LOG.exception("periodic task %s failed; it is tried again", task.name)

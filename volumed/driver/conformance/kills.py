"""Kills a call at every crash point that it passes, each time in a process of its own.

Knows processes and crash points; knows nothing of what is called.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from volumed.driver.interface import Driver
from volumed.model import crash_points

Call = Callable[[Driver], object]


@dataclass(frozen=True, slots=True)
class Passage:
    """The ``number``-th (from 0) crash point of a call, which is ``point``."""

    number: int
    point: str


def passages(call: Call, driver: Driver) -> list[Passage]:
    """Run ``call`` and say which crash points it passed."""
    names: list[str] = []
    crash_points.watch(names.append)
    try:
        call(driver)
    finally:
        crash_points.watch(None)
    return [Passage(number, name) for number, name in enumerate(names)]


def kill_at(passage: Passage, call: Call, make_driver: Callable[[], Driver]) -> bool:
    """Run ``call`` in a child that is killed with SIGKILL at ``passage``; False when it never came that far."""
    child = os.fork()
    if child == 0:
        _die_in_child(passage, call, make_driver)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _die_in_child(passage: Passage, call: Call, make_driver: Callable[[], Driver]) -> None:
    left = passage.number

    def die(_: str) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    try:
        driver = make_driver()
        crash_points.watch(die)
        call(driver)
    finally:
        os._exit(0)

"""The ``file`` driver with faults that a test orders: ``volume_driver = tests.lab.faulty_driver.FaultyDriver``.

A fault is a small file in the state folder, so it is ordered from another process and consumed once, also over a crash.
What the driver does beside its faults is the real thing.
"""

import contextlib
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from volumed.driver import commands, errors
from volumed.driver.registry import Setup
from volumed_drivers.file.driver import FileDriver

UNFORESEEN = "ZeroDivisionError"


@dataclass(frozen=True)
class Fault:
    """``error`` names a class of ``volumed.driver.errors``, None none; ``after``: the real effect comes before it.

    ``UNFORESEEN`` is an exception that no driver may raise.

    ``lasting``: it stays until it is cleared. ``pause``: seconds that the call hangs first; ``beats``: it tells its
    progress meanwhile. ``kills``: the process dies of it. ``command``: it is run first, bounded by ``bound`` seconds.
    ``unless_forced``: calls with ``force`` do not meet it, as where a session is cut.
    """

    error: str | None = "BackendUnreachable"
    after: bool = False
    lasting: bool = False
    pause: float = 0.0
    beats: bool = False
    kills: bool = False
    command: tuple[str, ...] = ()
    bound: float = 60.0
    unless_forced: bool = False


class Faults:
    """The faults of one backend, for the test that orders them and for the driver that meets them."""

    def __init__(self, state: Path, backend: str) -> None:
        self._folder = state / "faults" / backend
        self._folder.mkdir(parents=True, exist_ok=True)
        self.backend = backend

    def order(self, call: str, error: str | None = "BackendUnreachable", times: int = 1, **more: Any) -> None:
        """Let the next ``times`` calls of ``call`` fail; ``more`` are the fields of ``Fault``."""
        for number in range(times):
            draft = self._folder / f".{uuid.uuid4()}"
            draft.write_text(json.dumps(asdict(Fault(error, **more))))
            draft.rename(self._folder / f"{call}.{time.time_ns()}.{number}")

    def left(self) -> int:
        """How many faults nobody has met yet."""
        return sum(1 for path in self._folder.iterdir() if not path.name.startswith("."))

    def clear(self, lasting: bool = False) -> None:
        """The backend is well again; ``lasting``: but for the faults that come once."""
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # a call has just met it
                if not lasting or Fault(**json.loads(path.read_text())).lasting:
                    path.unlink()

    def meet(self, call: str) -> Fault | None:
        """The oldest fault that is ordered for ``call``, which is thereby consumed.

        One that comes once is for an operation: what a service does from time to time does not take it away.
        """
        in_between = threading.current_thread().name.startswith("periodic ")
        for path in sorted(self._folder.glob(f"{call}.*")):
            try:
                fault = Fault(**json.loads(path.read_text()))
                if in_between and not fault.lasting:
                    continue
                if not fault.lasting:
                    path.unlink()
            except FileNotFoundError:  # another call met it, or the test cleared it
                continue
            return fault
        return None


class _Told:
    """A method that the class must have, so that an ability is seen: a protocol asks the class since Python 3.12."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, driver: "FaultyDriver", owner: type | None = None) -> Callable[..., Any]:
        return driver.__getattr__(self._name)


class FaultyDriver:
    """See the module."""

    OPTIONS = FileDriver.OPTIONS
    #: The driver that does the work.
    DRIVER: type[FileDriver] = FileDriver

    manageable_volumes, managed_size, manage, unmanage = _Told(), _Told(), _Told(), _Told()
    manageable_snapshots, managed_snapshot_size = _Told(), _Told()
    manage_snapshot, unmanage_snapshot = _Told(), _Told()

    def __init__(self, setup: Setup) -> None:
        self._driver = self.DRIVER(setup)
        self._faults = Faults(setup.state_path, setup.backend)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._call, name, getattr(self._driver, name))

    def revert(self, *arguments: Any) -> Any:
        """An ability is asked for by name, which ``__getattr__`` would not show to every Python."""
        return self._call("revert", self._driver.revert, *arguments)

    def _call(self, name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        fault = self._faults.meet(name)
        if fault is None:
            return call(*args, **kwargs)
        if fault.unless_forced and True in args:
            return call(*args, **kwargs)
        _hang(fault, *args)
        if fault.command:
            commands.run(self._faults.backend, fault.command, fault.bound)
        if fault.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.error is None:
            return call(*args, **kwargs)
        if fault.after:
            call(*args, **kwargs)
        reason = f"{name} was told to fail"
        if fault.error == UNFORESEEN:
            raise ZeroDivisionError(reason)
        raise getattr(errors, fault.error)(backend=self._faults.backend, what=name, reason=reason)


def _hang(fault: Fault, *args: Any) -> None:
    """Be in the call for as long as the fault says; the progress is a copy's last argument."""
    if not fault.beats:
        threading.Event().wait(fault.pause)  # no sleep: one does not bear a clock that jumps
        return
    end = time.monotonic() + fault.pause
    while time.monotonic() < end:
        args[-1](1, 100)
        time.sleep(0.02)

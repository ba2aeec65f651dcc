"""``volumed-volume``: a parent with a child process for each enabled backend, so that one's hang or death is its own.

The parent has one thread, no connection and no driver: it starts, hears, ends and reaps children, and tells systemd
what is true. A child is reaped before its successor starts, and dies with its parent, also when that is killed
(prctl(2), PR_SET_PDEATHSIG). See docs/decisions/0009.
"""

import ctypes
import gc
import json
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from volumed.launch import concurrency, configuration, logs
from volumed.launch.fleet import describe, run_backend
from volumed.launch.process import BEAT, State
from volumed.launch.signals import ENDING, pipe_of
from volumed.launch.systemd import Manager
from volumed.model.errors import ConfigurationError

LOG = logging.getLogger(__name__)

#: Seconds before a child that died is started again; doubled with each death, back to the first after a calm while.
FIRST_PAUSE, CALM = 1.0, 60.0

#: Seconds beyond ``graceful_shutdown_timeout`` after which a child that does not end is killed.
MARGIN = 10.0

_PDEATHSIG = 1


def run(files: Sequence[Path]) -> int:
    """Serve every enabled backend until a signal; returns the exit status. Raises ``ConfigurationError``."""
    conf = configuration.of_fleet(files)
    logs.as_configured(conf)
    if not conf.enabled_backends:
        raise ConfigurationError(option="enabled_backends", reason="it names no backend, so there is nothing to serve")
    timing = Timing(
        conf.operations.stuck_timeout, conf.graceful_shutdown_timeout + MARGIN, longest_pause=conf.restart_pause_max
    )
    return Launcher(conf.enabled_backends, lambda name, voice: run_backend(files, name, voice), timing).run()


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. ``stuck``: of silence after which a child is killed, 0: never; ``drain``: that a child has to end.

    ``silence``: after which a child is not known to be alive, and the watchdog is told nothing. ``longest_pause``:
    before a child that keeps dying is started again.
    """

    stuck: float
    drain: float
    silence: float = 5 * BEAT
    longest_pause: float = 60.0


@dataclass
class Child:
    """One backend's process, or the wait for it."""

    name: str
    pid: int | None = None
    ears: int | None = None
    unread: bytes = b""
    state: State = ("starting", None)
    #: Whether its start has ended once, well or badly.
    settled: bool = False
    heard_at: float = 0.0
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = FIRST_PAUSE
    killed_for: str | None = None


class Voice:
    """The child's side: a line of JSON for each sign of life. A parent that is gone is no matter: so are we then."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def hear(self, serves: bool, state: State) -> None:
        """Implements ``process.Listener``."""
        self._say({"serves": serves, "state": state[0], "reason": state[1]})

    def hear_reloading(self, is_over: bool) -> None:
        """The parent has told systemd already."""

    def hear_stopping(self) -> None:
        self._say({"serves": False, "state": "stopping", "reason": None})

    def _say(self, what: dict[str, Any]) -> None:
        try:
            os.write(self._descriptor, json.dumps(what).encode() + b"\n")
        except BlockingIOError:  # the parent is stopped; it will hear the next one
            pass


@dataclass
class Launcher:
    """Keeps one child for each of ``names``; ``serve`` is what a child does, and its result the exit status."""

    names: Sequence[str]
    serve: Callable[[str, Voice], int]
    timing: Timing
    children: dict[str, Child] = field(init=False)
    _manager: Manager = field(init=False, default_factory=Manager)
    _selector: selectors.BaseSelector = field(init=False, default_factory=selectors.DefaultSelector)
    _stop_by: float | None = field(init=False, default=None)
    _exit_status: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.children = {name: Child(name, pause=self._first_pause()) for name in self.names}

    def _first_pause(self) -> float:
        return min(FIRST_PAUSE, self.timing.longest_pause)

    def run(self) -> int:
        """Until every child has ended after a signal; 0, or 128 and the number of a second signal."""
        signals = pipe_of((*ENDING, signal.SIGHUP, signal.SIGCHLD))
        self._selector.register(signals, selectors.EVENT_READ)
        gc.freeze()  # what is imported stays in every child; its collector need not touch those pages
        while not self._is_over():
            self._start_due()
            self._tell()
            for key, _ in self._selector.select(self._patience()):
                if key.fd == signals:
                    self._take_signals(os.read(signals, 64))
                else:
                    self._hear(key.data)
            self._end_silent()
        return self._exit_status

    # --- children ---------------------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        if self._stop_by is not None:
            return
        for child in self.children.values():
            if child.pid is None and child.start_at <= time.monotonic():
                self._start(child)

    def _start(self, child: Child) -> None:
        ears, voice = os.pipe()
        os.set_blocking(ears, False)
        os.set_blocking(voice, False)
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._be_child(child.name, voice, parent)
        os.close(voice)
        child.pid, child.ears, child.unread = pid, ears, b""
        child.started_at = child.heard_at = time.monotonic()
        child.state, child.killed_for = ("starting", None), None
        self._selector.register(ears, selectors.EVENT_READ, child)
        LOG.info("backend %s starts as process %d", child.name, pid)

    def _be_child(self, name: str, voice: int, parent: int) -> NoReturn:
        """Never returns: what the parent has open and would do on its way out is not the child's."""
        status = 1
        try:
            # A group of its own: a terminal's Ctrl-C is the parent's to hand on, once.
            os.setpgid(0, 0)
            ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:
                concurrency.begin_child()
                self._forget_parents_ears()
                status = self.serve(name, Voice(voice))
        except BaseException as error:
            if isinstance(error, Exception):
                LOG.error("backend %s ends: %s", name, error)
                LOG.debug("the trouble of %s:", name, exc_info=error)
        finally:
            logging.shutdown()
            os._exit(status)

    def _forget_parents_ears(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()

    def _hear(self, child: Child) -> None:
        if child.ears is None:  # reaped by a signal that came with its last words
            return
        try:
            said = os.read(child.ears, 65536)
        except BlockingIOError:
            return
        if not said:
            self._close_ears(child)
            return
        *lines, child.unread = (child.unread + said).split(b"\n")
        for line in lines:
            told = json.loads(line)
            child.heard_at = time.monotonic()
            child.state = (told["state"], told["reason"])
            child.settled = child.settled or told["serves"]

    def _close_ears(self, child: Child) -> None:
        if child.ears is not None:
            self._selector.unregister(child.ears)
            os.close(child.ears)
            child.ears = None

    def _reap(self) -> None:
        for child in self.children.values():
            if child.pid is None:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._bury(child, os.waitstatus_to_exitcode(status))

    def _bury(self, child: Child, status: int) -> None:
        now = time.monotonic()
        how = child.killed_for or (f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}")
        self._close_ears(child)
        if now - child.started_at >= CALM:
            child.pause = self._first_pause()
        child.pid, child.settled = None, True
        child.start_at = now + child.pause
        child.state = ("down", f"its process ended ({how}); it is started again")
        if self._stop_by is None:
            LOG.error("backend %s has ended: %s; it starts again in %.1f s", child.name, how, child.pause)
        else:
            LOG.info("backend %s has ended: %s", child.name, how)
        child.pause = min(self.timing.longest_pause, child.pause * 2)

    def _end_silent(self) -> None:
        """SIGKILL for a child that has not been heard for too long, and for whoever does not stop in time."""
        now = time.monotonic()
        for child in self._living():
            silent = now - child.heard_at
            if self._stop_by is not None and now >= self._stop_by:
                self._kill(child, "it did not stop in time")
            elif self.timing.stuck and silent >= self.timing.stuck:
                self._kill(child, f"it was silent for {silent:.0f} s")

    def _kill(self, child: Child, reason: str) -> None:
        if child.pid is not None and child.killed_for is None:
            LOG.critical("backend %s is killed: %s", child.name, reason)
            child.killed_for = reason
            os.kill(child.pid, signal.SIGKILL)

    def _living(self) -> list[Child]:
        return [child for child in self.children.values() if child.pid is not None]

    # --- signals ----------------------------------------------------------------------------------------------------

    def _take_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP:
                self._reload()
            else:
                self._stop(number)

    def _reload(self) -> None:
        self._manager.reloading()
        self._hand_on(signal.SIGHUP)
        self._manager.reloaded()

    def _stop(self, number: int) -> None:
        if self._stop_by is not None:
            self._exit_status = 128 + number
            for child in self._living():
                self._kill(child, "a second signal wants the end at once")
            return
        LOG.info("stopping; what does not end in time is resumed by the next start")
        self._stop_by = time.monotonic() + self.timing.drain
        self._manager.stopping()
        self._hand_on(signal.SIGTERM)

    def _hand_on(self, number: signal.Signals) -> None:
        for child in self._living():
            assert child.pid is not None
            os.kill(child.pid, number)

    # --- what is told -----------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Tell systemd; nothing says alive while any child is silent."""
        self._manager.status(self._status())
        if all(child.settled for child in self.children.values()):
            self._manager.ready()
        else:
            self._manager.starting()
        now = time.monotonic()
        if all(now - child.heard_at < self.timing.silence for child in self._living()):
            self._manager.alive()

    def _status(self) -> str:
        if self._stop_by is not None:
            return f"stopping, {len(self._living())} backends still work"
        up = [child for child in self.children.values() if child.state[0] == "up"]
        rest = [f"{child.name} {describe(child.state)}" for child in self.children.values() if child not in up]
        return "; ".join([f"{len(up)} of {len(self.children)} backends up", *rest])

    def _patience(self) -> float:
        """Seconds until something may have to be done without being told."""
        now = time.monotonic()
        due = [child.start_at - now for child in self.children.values() if child.pid is None]
        return max(0.0, min([BEAT, *due]) if self._stop_by is None else BEAT / 10)

    def _is_over(self) -> bool:
        return self._stop_by is not None and not self._living()

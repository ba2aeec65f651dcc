"""A process with one service of a fleet in it: it waits for its database, starts, serves until a signal, and drains.

Knows the order of life and who is told of it; what serves is given.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from oslo_config import cfg
from sqlalchemy.exc import OperationalError

from volumed.db import migrate
from volumed.launch import configuration, keys, logs
from volumed.launch.assembly import Assembly
from volumed.launch.signals import EndingSignals
from volumed.launch.tracing import traced
from volumed.model.errors import ServiceUnavailable

LOG = logging.getLogger(__name__)

#: Seconds between two signs of life.
BEAT = 1.0

#: Seconds before the second look for a database that is away, and at most between two.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0

State = tuple[str, str | None]


class Served(Protocol):
    """What serves: a service, or the API behind its server."""

    def start(self) -> None:
        """Serve; returns when it does. Raises what keeps it from that."""

    def state(self) -> State:
        """``up``, ``starting`` or ``down``, with the reason where it is not up."""

    def reset(self) -> None:
        """Look again at what may change while it runs."""

    def stop(self) -> None:
        """Take nothing new, end what runs within ``graceful_shutdown_timeout``; returns when it has."""


class Listener(Protocol):
    """Who is told how this process is."""

    def hear(self, serves: bool, state: State) -> None:
        """A sign of life. ``serves``: its start is over."""

    def hear_reloading(self, is_over: bool) -> None:
        """The configuration is being read again, or has been."""

    def hear_stopping(self) -> None:
        """It drains."""


Make = Callable[[cfg.ConfigOpts, Assembly], Served]


class Process:
    """``make`` makes what serves as ``name``, from the configuration in ``files``."""

    def __init__(self, name: str, files: Sequence[Path], make: Make, listener: Listener) -> None:
        self._name = name
        self._files = files
        self._make = make
        self._listener = listener
        self._signals = EndingSignals(reload=self._reload)
        self._stopping = threading.Event()
        self._conf: cfg.ConfigOpts | None = None
        self._served: Served | None = None
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._state: State = ("starting", None)

    def run(self) -> int:
        """Serve until the first signal; returns the exit status. Raises what keeps it from starting."""
        self._signals.listen()
        self._conf = configuration.of_fleet(self._files)
        logs.as_configured(self._conf)
        with traced(self._conf, self._name):
            self._serve(self._conf)
        if self._failure is not None:
            raise self._failure
        return 0

    def _serve(self, conf: cfg.ConfigOpts) -> None:
        state = Path(conf.state_path)
        assembly = Assembly(conf, state, state / "secrets.key")
        starting = threading.Thread(target=self._start, args=(assembly,), name="start", daemon=True)
        starting.start()
        self._beat_until_signal()
        self._listener.hear_stopping()
        self._stop(starting, assembly)

    def _beat_until_signal(self) -> None:
        while self._failure is None:
            self._listener.hear(self._started.is_set(), self._present())
            if self._signals.wait(BEAT if self._started.is_set() else BEAT / 10):
                return

    def _present(self) -> State:
        return self._served.state() if self._served is not None and self._started.is_set() else self._state

    def _start(self, assembly: Assembly) -> None:
        pause = FIRST_PAUSE
        try:
            while not self._begin(assembly, pause):
                if self._stopping.wait(pause):
                    return
                pause = min(LONGEST_PAUSE, pause * 2)
            self._started.set()
        except BaseException as error:
            self._failure = error

    def _begin(self, assembly: Assembly, pause: float) -> bool:
        """Start what serves; False where its database is away, or goes away meanwhile: then nothing has started."""
        assert self._conf is not None
        try:
            migrate.check(assembly.database)
            keys.unlock(assembly.database)
            self._served = self._make(self._conf, assembly)
            self._served.start()
        except (ServiceUnavailable, OperationalError) as error:
            reason = f"waits for the database: {getattr(error, 'orig', error)}"
            LOG.warning("%s; next try in %.1f s", reason, pause)
            self._state = ("starting", reason)
            served, self._served = self._served, None
            if served is not None:
                served.stop()
            return False
        return True

    def _stop(self, starting: threading.Thread, assembly: Assembly) -> None:
        self._stopping.set()
        assert self._conf is not None
        # A start that hangs (a broker that is silent) is not waited for longer than work is.
        starting.join(self._conf.graceful_shutdown_timeout)
        if self._served is not None:
            self._served.stop()
        assembly.close()

    def _reload(self) -> None:
        """Take over what may change while it runs: mutable options, and what others have become meanwhile."""
        if self._conf is None or not self._started.is_set() or self._served is None:
            return
        self._listener.hear_reloading(is_over=False)
        try:
            self._conf.mutate_config_files()
            logs.detail_as_configured(self._conf)
            self._served.reset()
            LOG.info("the configuration was read again")
        except Exception as error:
            LOG.error("the configuration cannot be read again, it stays as it was: %s", error)
        finally:
            self._listener.hear_reloading(is_over=True)

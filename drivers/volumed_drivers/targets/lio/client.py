"""Asks the helper, and starts one where nobody listens. A connection is kept for the next request.

Knows the socket; knows nothing of what is asked.
"""

import json
import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from volumed.driver.crash import crash_point
from volumed.model.held_lock import held_lock
from volumed_drivers.targets.lio.requests import (
    MOST_ANSWERED,
    PROTOCOL,
    Apply,
    Hello,
    Refused,
    Remove,
    Request,
    receive,
    send,
    to_words,
)
from volumed_drivers.targets.local_sockets import connected

LOG = logging.getLogger(__name__)

#: Seconds that a request may take: LIO waits for commands in flight when it cuts a session.
TIMEOUT = 45.0

#: Connections that are kept while nobody asks.
MOST_KEPT = 4

#: Seconds that a helper may take to listen after its start.
START_TIMEOUT = 15.0


class Unanswered(Exception):
    """The request was sent and no answer came: it may have worked."""


class Helper(Protocol):
    """Whoever does what is asked."""

    def meet(self) -> None:
        """Find the helper and LIO. Raises ``Refused``."""

    def ask(self, request: Request) -> Any:
        """The answer. Raises ``Refused`` and ``Unanswered``."""


class Client:
    """The helper behind ``path``; ``exportable`` are the paths that one we start ourselves may export."""

    def __init__(self, path: Path, exportable: tuple[str, ...]) -> None:
        self._path = path
        self._exportable = exportable
        self._idle: list[tuple[int, socket.socket]] = []

    def meet(self) -> None:
        told = self.ask(Hello())
        if told["protocol"] != PROTOCOL:
            reason = f"the helper behind {self._path} is of another version: systemctl restart volumed-lio"
            raise Refused("unreachable", reason)

    def ask(self, request: Request) -> Any:
        changes = isinstance(request, Apply | Remove)
        if changes:
            crash_point("lio.ask.before")
        told = self._asked(request, changes)
        if changes:
            crash_point("lio.ask.after")
        if "refused" in told:
            raise Refused(told["refused"], told["reason"])
        return told["done"]

    def _asked(self, request: Request, changes: bool) -> Any:
        """On a kept connection, or a new one.

        Once more on a new one where the helper has closed a kept one, or dies and what it was asked changes nothing.
        """
        kept = self._kept()
        if kept is not None or not changes:
            try:
                return self._exchange(kept or self._connect(), request, changes)
            except ConnectionError:
                LOG.debug("the helper of LIO has closed a connection, or has died")
            except OSError as error:
                raise _unanswered(request, error) from error
        stream = self._connect()
        try:
            return self._exchange(stream, request, changes)
        except OSError as error:
            raise _unanswered(request, error) from error

    def _exchange(self, stream: socket.socket, request: Request, changes: bool) -> Any:
        try:
            send(stream, to_words(request), held_lock() if changes else None)
            if changes:
                crash_point("lio.ask.sent")
            words, _ = receive(stream, MOST_ANSWERED)
        except BaseException:
            stream.close()
            raise
        self._keep(stream)
        return json.loads(words)

    def _kept(self) -> socket.socket | None:
        """A connection that nobody uses; none of a parent process, whose answers it would take."""
        while self._idle:
            owner, stream = self._idle.pop()
            if owner == os.getpid():
                return stream
            stream.close()
        return None

    def _keep(self, stream: socket.socket) -> None:
        if len(self._idle) < MOST_KEPT:
            self._idle.append((os.getpid(), stream))
        else:
            stream.close()

    def _connect(self) -> socket.socket:
        try:
            return connected(self._path, TIMEOUT)
        except BlockingIOError as error:
            raise Refused("busy", f"the helper of LIO takes no connection within {TIMEOUT:.0f} s") from error
        except OSError as error:
            if os.geteuid() != 0:
                reason = f"nobody listens on {self._path} ({error.strerror}): systemctl start volumed-lio.socket"
                raise Refused("unreachable", reason) from error
        return self._started()

    def _started(self) -> socket.socket:
        """Start a helper that outlives us. Of two that are started at once, the second sees the first and ends."""
        words = ["-m", "volumed_drivers.targets.lio.helper", "--load-modules", "--socket", str(self._path)]
        crash_point("lio.start.before")
        child = subprocess.Popen(
            [sys.executable, *words, *(word for path in self._exportable for word in ("--path", path))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        crash_point("lio.start.after")
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            try:
                stream = connected(self._path, TIMEOUT)
            except OSError:
                status = child.poll()
                if status:
                    raise Refused("unreachable", f"the helper of LIO ended at once with status {status}") from None
                time.sleep(0.02)
            else:
                LOG.info("started the helper of LIO: pid=%d socket=%s", child.pid, self._path)
                return stream
        raise Refused("unreachable", f"the helper of LIO does not listen after {START_TIMEOUT:.0f} s")


def _unanswered(request: Request, error: OSError) -> Unanswered:
    what = type(request).__name__.lower()
    return Unanswered(f"the helper of LIO did not answer {what}: {error.strerror or error}")

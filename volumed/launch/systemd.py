"""Tells the service manager what is true of this process. Source: sd_notify(3), systemd.service(5).

Without ``NOTIFY_SOCKET`` in the environment nobody is told, and nothing is different.
"""

import os
import socket
import time
from collections.abc import Mapping

#: Seconds for which a start that goes on asks not to be given up.
EXTENSION = 30


class Manager:
    """The service manager of this process; what it is told twice it is sent once, but for signs of life."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._status: str | None = None
        self._ready = False
        #: Seconds within which it wants a sign of life; None: it does not.
        self.watchdog = _watchdog(environment)

    def ready(self) -> None:
        """Serving, from now on."""
        if not self._ready:
            self._ready = True
            self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={' '.join(text.split())}")

    def starting(self) -> None:
        """The start takes longer; it is not to be given up yet."""
        if not self._ready:
            self._send(f"EXTEND_TIMEOUT_USEC={EXTENSION * 1_000_000}")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        if self.watchdog is not None:
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The configuration is read again; ``reloaded`` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        self._send("READY=1")

    def stopping(self) -> None:
        """Ending in order; whatever runs is given ``graceful_shutdown_timeout``."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            try:
                sender.sendto(message.encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL, self._address)
            except OSError:  # nobody listens any more: what was to be told is true all the same
                pass


def _address(text: str) -> str | None:
    """``@`` stands for the abstract namespace of unix(7)."""
    if not text.startswith(("/", "@")):
        return None
    return "\0" + text[1:] if text.startswith("@") else text


def _watchdog(environment: Mapping[str, str]) -> float | None:
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isascii() and text.isdigit() and int(text) else None

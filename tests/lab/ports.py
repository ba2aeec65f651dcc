"""TCP ports that stay a test's own, also while the server that uses them is stopped.

A port that the system chooses may be another's a moment after it was let go. These are below the range from which the
system chooses (ip_local_port_range, ip(7)), and a name in the abstract namespace (unix(7)) says that one is taken: it
goes with the process and leaves no file.
"""

import random
import socket
from pathlib import Path
from typing import Final

#: The lowest port that is used.
LOWEST: Final = 15_000


class Port:
    """A port on 127.0.0.1 that no other ``Port`` has until ``release``, or until this process ends."""

    def __init__(self) -> None:
        self.number, self._claim = _claimed()

    def release(self) -> None:
        """Let others have it."""
        self._claim.close()


def _claimed() -> tuple[int, socket.socket]:
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for number in random.Random().sample(range(LOWEST, end), 200):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0volumed-test-port-{number}")
        except OSError:
            claim.close()
            continue
        if _is_free(number):
            return number, claim
        claim.close()
    raise RuntimeError(f"no free port between {LOWEST} and {end}")


def _is_free(number: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("", number))
        except OSError:
            return False
        return True

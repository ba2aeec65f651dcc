"""Has the cluster refuse a client of ours whose process is gone, so that nothing of it lands late.

What a killed process had sent may wait in a slow OSD, and be done after its successor has looked; and its watches and
locks live on for half a minute. So each process notes in the pool who it is, and its successor has that address refused
before it looks. Knows rados and processes; knows nothing of images.
"""

import json
import logging
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendUnreachable
from volumed.driver.interface import Owner
from volumed_drivers.rbd import errors

LOG = logging.getLogger(__name__)

#: Seconds for which an address is refused; longer than anything waits in a cluster.
REFUSED_FOR: Final = 3600

#: Connections of one process that a note has at most, the last ones; and bytes of a note.
_CONNECTIONS: Final = 16
_MOST: Final = 8192

#: Whoever replaces itself (execve) keeps its number and its start, and nothing else.
_IMAGE: Final = str(uuid.uuid4())

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Process:
    """One, for as long as its machine runs: a number is given to another one later."""

    boot: str
    pid: int
    started: str
    image: str

    @classmethod
    def ours(cls) -> "Process":
        return cls(_BOOT.read_text().strip(), os.getpid(), _started(os.getpid()) or "", _IMAGE)

    def is_of(self, other: "Process") -> bool:
        """Whether it is, or was, on the machine of the other's, since that was booted."""
        return self.boot == other.boot

    def lives(self) -> bool:
        """Whether it does, as a process of this machine, and as what it was."""
        return _started(self.pid) == self.started and (self.pid != os.getpid() or self.image == _IMAGE)


@dataclass(slots=True)
class Fence:
    """Around the clients of the owner, a backend of one host: a process of it follows another there."""

    owner: Owner
    _entered: int = 0
    #: Whose note is in the pool since we entered: ours, or, where that was full, the one of who was before us.
    _noted: Process | None = None

    def enter(self, backend: str, rados: Any, cluster: Any, ioctx: Any) -> None:
        """Told of a new connection: shut out who was here before, and note who is now. Raises as rados does.

        Raises ``BackendUnreachable`` where this process was here before, and one of another machine came since: that
        one has shut us out, and two that do so in turn end nothing.
        """
        ours, name = Process.ours(), f"volumed.{self.owner.deployment}.{self.owner.backend}/client"
        found = _noted(rados, ioctx, name)
        addresses: list[str] = []
        if found is not None:
            process, addresses = found
            is_first = self._entered != os.getpid()
            if not process.is_of(ours) and not is_first and process != self._noted:
                reason = f"another machine, which is {self.owner.backend} too, has taken the pool over ({addresses})"
                raise BackendUnreachable(backend=backend, reason=reason)
            if not process.is_of(ours) or not process.lives():
                _shut_out(backend, rados, cluster, addresses)
            if process != ours:
                addresses = []
        addresses = [*addresses, cluster.get_addrs()][-_CONNECTIONS:]
        note = json.dumps({"addresses": addresses, "process": asdict(ours)}).encode()
        crash_point("rbd.client.before")
        self._noted = None if found is None else found[0]
        try:
            ioctx.write_full(name, note)
            self._noted = ours
        except rados.Error as error:
            if not errors.is_full(error):
                raise
            LOG.warning("%s: a full pool takes no note of this client: when it is killed, nobody shuts it out", backend)
        crash_point("rbd.client.after")
        self._entered = os.getpid()


def _noted(rados: Any, ioctx: Any, name: str) -> tuple[Process, list[str]] | None:
    """Who was here last, and the addresses of its connections."""
    try:
        told = json.loads(ioctx.read(name, _MOST))
        return Process(**told["process"]), [str(address) for address in told["addresses"]]
    except rados.ObjectNotFound:
        return None
    except (ValueError, KeyError, TypeError):
        LOG.warning("%s is no note of a client, and is written anew", name)
        return None


def _shut_out(backend: str, rados: Any, cluster: Any, addresses: list[str]) -> None:
    """Nothing that was sent from there is done any more when this has returned, unless it is done already."""
    crash_point("rbd.shut_out.before")
    try:
        for address in addresses:
            cluster.blocklist_add(address, REFUSED_FOR)
    except rados.Error as error:
        if not errors.is_forbidden(error):
            raise
        LOG.warning("%s: the key may not shut out a client that is gone (mon 'profile rbd'): %s", backend, error)
        return
    cluster.wait_for_latest_osdmap()  # an OSD that we ask from now on knows of it before it answers
    crash_point("rbd.shut_out.after")
    LOG.info("%s: the client at %s, which is gone, is shut out", backend, ", ".join(addresses))


def _started(pid: int) -> str | None:
    """When it was started, in ticks since the boot; None when it is gone. Source: proc(5), /proc/PID/stat, field 22."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]

"""Starts, adopts and stops the one tgtd of a backend.

The daemon outlives this process, kill -9 included: it is found again by its management socket, and the kernel says
which process is behind it. Knows processes, ports and folders; knows nothing of targets.
"""

import errno
import logging
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from volumed.driver.crash import crash_point
from volumed.driver.errors import BackendInvalid, BackendUnreachable
from volumed_drivers.targets.portals import portals_of, spelled
from volumed_drivers.targets.tgt.protocol import Management, NotListening, Refused, Unanswered

LOG = logging.getLogger(__name__)

SOCKET = "control"
PORT_FILE = "port"
LOG_FILE = "tgtd.log"

#: Seconds that tgtd may take to answer after its start, and to end when it is asked.
START_TIMEOUT = 10.0
STOP_TIMEOUT = 5.0

#: Seconds that the port of a tgtd that died may stay taken.
PORT_TIMEOUT = 2.0

#: How many ports below the kernel's own range a free one is chosen from.
PORTS = 12_000

#: Descriptors tgtd may have open: one a LUN and one a connection.
DESCRIPTORS = 65536

#: Bytes of log that are kept when tgtd is started.
LOG_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Process:
    """One process for certain: its id and when it started, in clock ticks since the boot."""

    pid: int
    started: int


class Daemon:
    """tgtd in its own ``folder``, listening on ``addresses``; ``port`` 0 is a free one, chosen once."""

    def __init__(self, backend: str, folder: Path, addresses: Sequence[str], port: int) -> None:
        self.management = Management(folder, SOCKET)
        self._backend = backend
        self._folder = folder
        self._addresses = addresses
        self._port = port
        self._child: subprocess.Popen[bytes] | None = None
        #: The tgtd that was behind the socket; while it lives, nobody else is.
        self._found: Process | None = None

    @property
    def port(self) -> int:
        """The port tgtd listens on, or will."""
        return self._port or self._chosen_port()

    @property
    def portals(self) -> list[str]:
        """Where it listens, or will; it is started with the first one."""
        return portals_of(self._addresses, self.port)

    def find(self) -> Process | None:
        """The tgtd that answers on our socket, whoever started it."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        if self._found is None or _started(self._found.pid) != self._found.started:
            self._found = self._behind_the_socket()
        return self._found

    def _behind_the_socket(self) -> Process | None:
        try:
            pid = self.management.peer()
        except NotListening:
            return None
        started = _started(pid)
        return None if started is None else Process(pid, started)

    def ensure(self) -> Process:
        """Find our tgtd, or start one. Raises ``BackendUnreachable``."""
        return self.find() or self._start()

    def ensure_portals(self) -> None:
        """Let tgtd listen wherever today's configuration says, too.

        What an adopted one listened on before stays for those who are logged in there, until tgtd ends.
        """
        shown = self.management.show_portals()
        for address, portal in zip(self._addresses, self.portals, strict=True):
            found = socket.getaddrinfo(address, self.port, type=socket.SOCK_STREAM)
            if not any(f" {spelled(str(place[0]))}:{self.port}," in shown for *_, place in found):
                self._new_portal(address, portal)

    def _new_portal(self, address: str, portal: str) -> None:
        error = _bind_error(address, self.port)
        if error is not None:
            raise self._cannot_listen(portal, f"{self._option_of(address)}, target_port", error)
        crash_point("tgt.portal.before")
        self.management.new_portal(portal)
        crash_point("tgt.portal.after")
        LOG.info("tgtd listens on one portal more: backend=%s portal=%s", self._backend, portal)

    def _option_of(self, address: str) -> str:
        return "target_ip_address" if address == self._addresses[0] else "iscsi_secondary_ip_addresses"

    def stop(self) -> None:
        """End tgtd, which has no targets any more. A SIGTERM would do nothing until tgtd's next event."""
        process = self.find()
        if process is None:
            return
        crash_point("tgt.stop.before")
        try:
            self.management.shut_down()
        except (Refused, Unanswered, NotListening) as error:
            LOG.warning("tgtd is killed: backend=%s reason=%s", self._backend, error)
        crash_point("tgt.stop.asked")
        if not self._wait_end(process):
            _kill(process)
            self._wait_end(process)
        for name in (f"{SOCKET}.0", f"{SOCKET}.0.lock"):
            crash_point("tgt.stop.socket")
            (self._folder / name).unlink(missing_ok=True)
        crash_point("tgt.stop.after")

    def _start(self) -> Process:
        program = shutil.which("tgtd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if program is None:
            raise BackendUnreachable(backend=self._backend, reason="tgtd is not installed: apt-get install tgt")
        self._make_folder()
        self._check_port()
        crash_point("tgt.start.before")
        self._child = self._spawn(program)
        crash_point("tgt.spawn.after")
        process = self._wait_ready(self._child)
        crash_point("tgt.start.after")
        LOG.info("started tgtd: backend=%s pid=%d portal=%s", self._backend, process.pid, self.portals[0])
        return process

    def _spawn(self, program: str) -> subprocess.Popen[bytes]:
        log = self._folder / LOG_FILE
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.unlink()
            crash_point("tgt.log.cut")
        with log.open("ab") as stream:
            crash_point("tgt.log.after")
            # -t 1: the default starts 16 threads for every LUN. The socket's path is relative to the folder, since
            # it may have 107 bytes only.
            child = subprocess.Popen(
                [program, "-f", "-t", "1", "--iscsi", f"portal={self.portals[0]}"],
                cwd=self._folder,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TGT_IPC_SOCKET": SOCKET},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        _raise_descriptors(child.pid)
        return child

    def _wait_ready(self, child: subprocess.Popen[bytes]) -> Process:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            process = self.find()
            if process is not None and self._listens():
                return process
            if process is None and child.poll() is not None:
                raise BackendUnreachable(backend=self._backend, reason=f"tgtd ended at once: {self._last_words()}")
            time.sleep(0.01)
        raise BackendUnreachable(
            backend=self._backend, reason=f"tgtd does not answer after {START_TIMEOUT:.0f} s: {self._last_words()}"
        )

    def _listens(self) -> bool:
        try:
            return f":{self.port}," in self.management.show_portals()
        except (NotListening, Unanswered, Refused):
            return False

    def _last_words(self) -> str:
        text = (self._folder / LOG_FILE).read_text(errors="replace")
        return " / ".join(text.splitlines()[-2:]) or "no word"

    def _check_port(self) -> None:
        """Wait for the port of a tgtd that just died; a port that stays taken is somebody else's."""
        deadline = time.monotonic() + PORT_TIMEOUT
        while (error := _bind_error(self._addresses[0], self.port)) is not None:
            if time.monotonic() >= deadline or error.errno != errno.EADDRINUSE:
                raise self._cannot_listen(self.portals[0], "target_ip_address, target_port", error)
            time.sleep(0.02)

    def _chosen_port(self) -> int:
        try:
            return int((self._folder / PORT_FILE).read_text())
        except FileNotFoundError:
            return self._choose_port()
        except ValueError as error:
            raise BackendInvalid(
                backend=self._backend, what=f"the port in {self._folder / PORT_FILE}", reason="it is not a number"
            ) from error

    def _choose_port(self) -> int:
        """Take a free port and store it before its first use: initiators reconnect to it for ever."""
        self._make_folder()
        port = self._free_port()
        draft = self._folder / f"{PORT_FILE}.part"
        crash_point("tgt.port.before")
        with draft.open("w") as stream:
            crash_point("tgt.port.opened")
            stream.write(str(port))
            stream.flush()
            os.fsync(stream.fileno())
        crash_point("tgt.port.written")
        draft.rename(self._folder / PORT_FILE)
        crash_point("tgt.port.after")
        return port

    def _make_folder(self) -> None:
        crash_point("tgt.folder.before")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        crash_point("tgt.folder.after")

    def _free_port(self) -> int:
        for port in _fixed_ports():
            if self._is_free(port):
                return port
        raise BackendUnreachable(backend=self._backend, reason=f"every port of {self._addresses} is taken")

    def _is_free(self, port: int) -> bool:
        for address in self._addresses:
            error = _bind_error(address, port)
            if error is not None and error.errno != errno.EADDRINUSE:
                raise self._cannot_listen(address, self._option_of(address), error)
            if error is not None:
                return False
        return True

    def _cannot_listen(self, where: str, options: str, error: OSError) -> BackendUnreachable:
        return BackendUnreachable(
            backend=self._backend, reason=f"cannot listen on {where} ([{self._backend}] {options}): {error.strerror}"
        )

    def _wait_end(self, process: Process) -> bool:
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline:
            if self._child is not None:
                self._child.poll()
            if _started(process.pid) != process.started:
                return True
            time.sleep(0.01)
        return False


def _fixed_ports() -> Iterator[int]:
    """Ports in random order that the kernel gives to no outgoing connection: one that it gives to an initiator
    that reconnects while tgtd is away would be taken, or connect the initiator with itself."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = list(range(max(1024, lowest - PORTS), lowest)) or list(range(1024, 65536))
    random.shuffle(ports)
    return iter(ports)


def _bind_error(address: str, port: int) -> OSError | None:
    """Why nobody could listen there now; None when somebody could."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error
    return None


def _started(pid: int) -> int | None:
    """When the process started; None when it is gone or a zombie. Source: proc(5), field 22 of stat."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _kill(process: Process) -> None:
    """Kill exactly this process: its number may be another's by now."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if _started(process.pid) == process.started:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def _raise_descriptors(pid: int) -> None:
    """Let tgtd open many LUNs: past the hard limit where we may, else up to it."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    for wanted in (max(DESCRIPTORS, hard), min(DESCRIPTORS, hard)):
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
            return
        except (OSError, ValueError) as error:
            LOG.debug("tgtd may not open %d files: %s", wanted, error)

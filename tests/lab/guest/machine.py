"""A machine of its own for tests: a real Linux kernel with device-mapper, LIO and iSCSI, as an ordinary process.

It has the host's files at their paths (what it writes is gone with it, except below ``shared`` folders and on its
disks), one slow CPU, and a 127.0.0.1 of its own. Knows nothing of volumes.
"""

import base64
import collections
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from tests.lab.guest import kernel
from tests.lab.keeper import command_for

#: Seconds that a guest may take to boot or to power off, and a command of it that says nothing else.
PATIENCE = 120.0

#: MiB of memory of a guest: taken from the host as it is used.
MEMORY = 1536

#: Bytes of a console that an error quotes.
MOST_QUOTED = 3000

_HERE = Path(__file__).parent


class GuestDied(Exception):
    """The machine ended while it was needed; the end of its console is in the sentence."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command said. ``status`` is its exit status, negative when a signal ended it."""

    status: int
    output: str
    complaint: str


#: Told each piece of output as it comes: stream (1 or 2) and bytes.
Listener = Callable[[int, bytes], None]


class Job:
    """A command under way in the guest."""

    def __init__(self, machine: "Machine", number: int, listener: Listener | None) -> None:
        self._machine = machine
        self._number = number
        self._listener = listener
        self._said = {1: b"", 2: b""}
        self._status: int | None = None
        self._ended = threading.Event()

    def wait(self, timeout: float = PATIENCE) -> Completed:
        """Wait for its end. Past ``timeout`` seconds it is killed: ``TimeoutError``. ``GuestDied`` as it says."""
        if not self._ended.wait(timeout):
            self.signal(signal.SIGKILL)
            raise TimeoutError(f"it has not ended within {timeout:g} s, and said: {self._text(1)}{self._text(2)}")
        if self._status is None:
            raise GuestDied(f"the guest ended; its console: {self._machine.console()}")
        return Completed(self._status, self._text(1), self._text(2))

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def signal(self, number: int) -> None:
        """Send the signal to all of its session."""
        self._machine.send({"id": self._number, "signal": int(number)})

    def feed(self, data: bytes) -> None:
        """Give ``data`` to its standard input, where it was started ``fed``: small pieces only."""
        self._machine.send({"id": self._number, "input": base64.b64encode(data).decode()})

    def hear(self, message: Mapping[str, Any]) -> None:
        """Called by the machine with what the guest says of this job."""
        if "status" in message:
            self._status = message["status"]
            self._ended.set()
            return
        data = base64.b64decode(message["data"])
        self._said[message["stream"]] += data
        if self._listener is not None:
            self._listener(message["stream"], data)

    def abandon(self) -> None:
        """Called by the machine when it ends."""
        self._ended.set()

    def _text(self, stream: int) -> str:
        return self._said[stream].decode(errors="replace")


class Machine:
    """One guest. Its disks are ``/dev/ubda``, ``/dev/ubdb``, ... in their order: first files that outlive it, then
    ``blank`` ones of so many GiB, new at each boot. ``shared``: folders of the host that it may write. ``udev``:
    whether it runs a udevd. Everything runs as root.
    """

    def __init__(
        self,
        disks: Sequence[Path] = (),
        blank: Sequence[int] = (),
        shared: Sequence[Path] = (),
        udev: bool = False,
        memory: int = MEMORY,
    ) -> None:
        self._disks = disks
        self._blank = blank
        self._shared = shared
        self._udev = udev
        self._memory = memory
        self._folder = Path()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._console: BinaryIO | None = None
        self._channel: socket.socket | None = None
        self._jobs: dict[int, Job] = {}
        self._messages = 0
        self._guard = threading.Lock()
        #: Set when the guest takes commands, and when it has ended.
        self._ready = threading.Event()
        self._booted = False

    def boot(self) -> "Machine":
        """Start it and wait until it takes commands. Raises ``GuestDied``, ``kernel.Unavailable``."""
        assert self._keeper is None, "it runs"
        found = kernel.installed()
        self._folder = Path(tempfile.mkdtemp(prefix="volumed-guest-"))
        settings = {
            "shared": [str(path) for path in self._shared],
            "udev": self._udev,
            "environment": self._environment(),
        }
        (self._folder / "settings.json").write_text(json.dumps(settings))
        blank = [make_disk(self._folder / f"disk-{number}", size) for number, size in enumerate(self._blank)]
        self._console = tempfile.TemporaryFile()  # noqa: SIM115 - it is read when the machine has ended
        self._channel, end = socket.socketpair()
        with end:
            self._keeper = subprocess.Popen(
                command_for(os.getpid(), str(self._folder), [self._command(found, [*self._disks, *blank])]),
                stdin=end,
                stdout=self._console,
                stderr=self._console,
                env={**os.environ, "TMPDIR": self._memory_folder()},
            )
        self._booted = False
        self._ready.clear()
        threading.Thread(target=self._listen, args=(self._channel,), daemon=True).start()
        self._ready.wait(PATIENCE)
        if not self._booted:
            console = self.console()
            self.crash()
            raise GuestDied(f"the guest did not boot; its console: {console}")
        return self

    def run(
        self,
        command: Sequence[str],
        timeout: float = PATIENCE,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        listener: Listener | None = None,
    ) -> Completed:
        """Run ``command`` as root to its end; as ``start`` and ``Job.wait``."""
        return self.start(command, environment, folder, listener).wait(timeout)

    def check(self, command: Sequence[str], timeout: float = PATIENCE) -> str:
        """The output of a command that must succeed."""
        done = self.run(command, timeout)
        assert done.status == 0, f"{command} ended with {done.status}: {done.output}{done.complaint}"
        return done.output

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        listener: Listener | None = None,
        fed: bool = False,
    ) -> Job:
        """Start ``command`` (the program first, never a shell) in ``folder`` (default: the present one).

        ``listener`` is told its output as it comes, in a thread of its own. Its input is empty unless it is ``fed``.
        """
        with self._guard:
            number = len(self._jobs) + 1
            job = self._jobs[number] = Job(self, number, listener)
        self.send(
            {
                "id": number,
                "command": list(command),
                "folder": str(folder or Path.cwd()),
                "environment": dict(environment or {}),
                "fed": fed,
            }
        )
        return job

    def send(self, message: Mapping[str, Any]) -> None:
        """Say something to the guest's process 1."""
        with self._guard, contextlib.suppress(OSError):  # it has just ended, as who waits for an answer will notice
            if self._channel is None:
                raise GuestDied("the guest does not run")
            self._messages += 1
            (self._folder / f"message-{self._messages}").write_text(json.dumps(message))
            self._channel.sendall(b"%d\n" % self._messages)

    @property
    def running(self) -> bool:
        return self._keeper is not None and self._keeper.poll() is None

    def crash(self) -> None:
        """The machine is dead at once, as without power; what its disks had taken stays."""
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.killpg(int((self._folder / "pid").read_text()), signal.SIGKILL)
        self._end(PATIENCE if (self._folder / "pid").exists() else 0)

    def power_off(self) -> None:
        """Write everything to the disks and end."""
        if self.running:
            self.send({"power_off": True})
        self._end(PATIENCE)

    def console(self) -> str:
        """The end of what the kernel said."""
        if self._console is None:
            return ""
        said = os.pread(self._console.fileno(), 1 << 24, 0)
        return said[-MOST_QUOTED:].decode(errors="replace")

    def _end(self, patience: float) -> None:
        if self._keeper is None:
            return
        try:
            self._keeper.wait(patience)
        except subprocess.TimeoutExpired:
            self._keeper.terminate()
            self._keeper.wait()
        self._keeper, self._channel = None, None

    def _listen(self, channel: socket.socket) -> None:
        # A socket that is closed with something unread in it ends with a reset (unix(7)).
        with channel, channel.makefile("rb") as lines, contextlib.suppress(ConnectionResetError):
            for line in lines:
                self._hear(json.loads(line))
        for job in self._jobs.values():
            job.abandon()
        self._ready.set()

    def _hear(self, message: Mapping[str, Any]) -> None:
        if "ready" in message:
            self._booted = True
            self._ready.set()
        else:
            self._jobs[message["id"]].hear(message)

    def _command(self, found: kernel.Kernel, disks: Sequence[Path]) -> list[str]:
        launch = [sys.executable, "-I", str(_HERE / "launch.py"), str(_free_cpu(found.program))]
        launch += [str(self._folder), str(found.libraries or "")]
        told = {
            "guest_modules": found.modules,
            "guest_folder": self._folder,
            "guest_python": sys.executable,
            "guest_agent": _HERE / "agent.py",
        }
        return [
            *launch,
            str(found.program),
            f"mem={self._memory}M",
            "root=/dev/root",
            f"rootflags={self._folder / 'host'}",
            "rootfstype=hostfs",
            "ro",
            "quiet",
            f"init={_HERE / 'init.sh'}",
            "con=null",
            "con0=null,fd:2",
            "con1=fd:0",
            *(f"ubd{number}={path}" for number, path in enumerate(disks)),
            *(f"{name}={value}" for name, value in told.items()),
        ]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("PATH", "TMPDIR")}
        return kept | {"LC_ALL": "C.UTF-8"} | ({} if self._udev else {"DM_DISABLE_UDEV": "1"})

    def _memory_folder(self) -> str:
        """Where the file is that is the guest's memory: in memory, where the host gives that much."""
        space = os.statvfs("/dev/shm")
        enough = space.f_bavail * space.f_frsize > self._memory * 1024**2
        return "/dev/shm" if enough else str(self._folder)


def make_disk(path: Path, gibibytes: int) -> Path:
    """A sparse file for a disk."""
    with path.open("wb") as disk:
        disk.truncate(gibibytes * 1024**3)
    return path


@contextmanager
def guest(
    disks: Sequence[Path] = (),
    blank: Sequence[int] = (),
    shared: Sequence[Path] = (),
    udev: bool = False,
    memory: int = MEMORY,
) -> Iterator[Machine]:
    """A booted machine, ended at the end."""
    machine = Machine(disks, blank, shared, udev, memory)
    try:
        yield machine.boot()
    finally:
        machine.crash()


def missing() -> str | None:
    """What is needed to have a guest here and is not there; None: nothing."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "a guest runs on Linux on x86-64 only"
    if os.geteuid() != 0:
        return "a guest needs root: it mounts file systems in a namespace of its own"
    return kernel.missing()


def _free_cpu(program: Path) -> int:
    """The host's CPU on which the fewest guests run; of several one by chance, as another guest may ask, too."""
    guests = collections.Counter(
        cpu
        for process in psutil.process_iter(["exe", "cpu_affinity"])
        if process.info["exe"] == str(program) and len(process.info["cpu_affinity"] or ()) == 1
        for cpu in process.info["cpu_affinity"]
    )
    cpus = sorted(os.sched_getaffinity(0))
    random.shuffle(cpus)
    return min(cpus, key=lambda cpu: guests[cpu])

"""The guest's process 1: prepares the machine, then runs what the host asks for. It imports nothing of ours.

The host says a number on the terminal ``CHANNEL``, and has written a JSON object to ``message-NUMBER``: the terminal
stays deaf after a line of more than some kilobytes. What is answered is a JSON object a line, on the terminal.

    {"id", "command", "folder", "environment", "fed"}    start it; answered by {"id", "stream", "data"} (base64) as it
                                                         speaks, and {"id", "status"} in the end
    {"id", "signal"}                                     to its session
    {"id", "input"} (base64)                             to its standard input, where it is ``fed``
    {"power_off": true}
"""

import base64
import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import tty
from pathlib import Path
from typing import Any

CHANNEL = "/dev/tty1"
FOLDER = Path("/run/guest")
MODULES = [
    *("configfs", "dm_mod", "dm_thin_pool", "dm_snapshot", "dm_mirror", "dm_raid", "loop", "sd_mod"),
    *("target_core_mod", "target_core_iblock", "target_core_file", "iscsi_target_mod", "iscsi_tcp"),
]
LVM_LOCAL = 'devices { types = ["ubd", 16] }\n'  # LVM does not know User-Mode Linux's disks
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Source: linux/sockios.h, linux/if.h, linux/reboot.h.
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
POWER_OFF = 0x4321FEDC


def main() -> None:
    os.environ["PATH"] = PATH
    if (FOLDER / "started").exists():
        power_off()  # User-Mode Linux that is reset starts itself again
    (FOLDER / "started").touch()
    settings = json.loads((FOLDER / "settings.json").read_text())
    prepare(settings)
    os.environ.clear()
    os.environ.update({"PATH": PATH, **settings["environment"]})
    Server().serve()


def prepare(settings: dict[str, Any]) -> None:
    """What a booted machine has."""
    for folder in ("/etc/iscsi", "/etc/target", "/etc/lvm", "/run/lock/iscsi", "/run/lock/lvm", "/var/target/pr"):
        os.makedirs(folder, exist_ok=True)
    Path("/etc/lvm/lvmlocal.conf").write_text(LVM_LOCAL)
    Path("/etc/fstab").write_text("")
    Path("/etc/iscsi/initiatorname.iscsi").write_text("InitiatorName=iqn.2010-10.org.volumed.guest:initiator\n")
    if not os.path.exists("/dev/fd"):
        os.symlink("/proc/self/fd", "/dev/fd")
    run("modprobe", "-a", *MODULES)
    run("mount", "-t", "configfs", "configfs", "/sys/kernel/config")
    for folder in settings["shared"]:
        os.makedirs(folder, exist_ok=True)
        run("mount", "-t", "hostfs", "shared", folder, "-o", folder)
    socket.sethostname("guest")
    bring_up(b"lo")
    if settings["udev"]:
        run("/lib/systemd/systemd-udevd", "--daemon")
        run("udevadm", "trigger", "--action=add", "--subsystem-match=block")
        run("udevadm", "settle")


def bring_up(interface: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        asked = struct.pack("16sh14x", interface, 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(handle, SIOCGIFFLAGS, asked))
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh14x", interface, flags | IFF_UP))


def run(*command: str) -> None:
    """Its complaints go to the console."""
    subprocess.run(command, stdin=subprocess.DEVNULL, check=False)


class Job:
    """A command under way, and where its output comes from: descriptor by stream."""

    def __init__(self, number: int, asked: dict[str, Any]) -> None:
        self.number = number
        self.process = subprocess.Popen(
            asked["command"],
            cwd=asked["folder"],
            env={**os.environ, **asked["environment"]},
            stdin=subprocess.PIPE if asked.get("fed") else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.streams = {self.process.stdout.fileno(): 1, self.process.stderr.fileno(): 2}
        for descriptor in self.streams:
            os.set_blocking(descriptor, False)

    def feed(self, data: bytes) -> None:
        """Small pieces: who does not read them stops everything."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self.process.stdin.fileno(), data)


class Server:
    """One thread: requests, output and ends as they come."""

    def __init__(self) -> None:
        self._channel = os.open(CHANNEL, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._channel, termios.TCSANOW)
        self._jobs: dict[int, Job] = {}
        self._asked = b""
        self._ends, wake = os.pipe()
        for descriptor in (self._ends, wake):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def serve(self) -> None:
        self._tell(ready=True)
        while True:
            outputs = {descriptor: job for job in self._jobs.values() for descriptor in job.streams}
            ready, _, _ = select.select([self._channel, self._ends, *outputs], [], [])
            for descriptor in ready:
                if descriptor in outputs:
                    self._pass_on(outputs[descriptor], descriptor)
            if self._channel in ready:
                self._hear()
            if self._ends in ready:
                os.read(self._ends, 4096)
            self._reap()

    def _hear(self) -> None:
        self._asked += os.read(self._channel, 65536)
        *lines, self._asked = self._asked.split(b"\n")
        for line in lines:
            asked = json.loads((FOLDER / f"message-{int(line)}").read_bytes())
            if "power_off" in asked:
                power_off()
            elif "signal" in asked:
                self._signal(asked["id"], asked["signal"])
            elif "input" in asked:
                if asked["id"] in self._jobs:
                    self._jobs[asked["id"]].feed(base64.b64decode(asked["input"]))
            else:
                self._start(asked)

    def _start(self, asked: dict[str, Any]) -> None:
        try:
            self._jobs[asked["id"]] = Job(asked["id"], asked)
        except OSError as error:
            self._output(asked["id"], 2, f"{asked['command'][0]}: {error}\n".encode())
            self._tell(id=asked["id"], status=127)

    def _signal(self, number: int, which: int) -> None:
        if number in self._jobs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._jobs[number].process.pid, which)

    def _pass_on(self, job: Job, descriptor: int) -> bool:
        """Hand on what is there; False when there is nothing now."""
        try:
            data = os.read(descriptor, 16384)
        except BlockingIOError:
            return False
        if not data:
            del job.streams[descriptor]
            return False
        self._output(job.number, job.streams[descriptor], data)
        return True

    def _reap(self) -> None:
        """Whoever ended, orphans too. What a command left running may hold its output open: it is not waited for."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                for job in [job for job in self._jobs.values() if job.process.pid == ended[0]]:
                    self._finish(job, os.waitstatus_to_exitcode(ended[1]))

    def _finish(self, job: Job, status: int) -> None:
        for descriptor in list(job.streams):
            while self._pass_on(job, descriptor):
                pass
        job.process.returncode = status
        for stream in (job.process.stdin, job.process.stdout, job.process.stderr):
            if stream is not None:
                stream.close()
        del self._jobs[job.number]
        self._tell(id=job.number, status=status)

    def _output(self, number: int, stream: int, data: bytes) -> None:
        self._tell(id=number, stream=stream, data=base64.b64encode(data).decode())

    def _tell(self, **fields: Any) -> None:
        line = json.dumps(fields).encode() + b"\n"
        while line:
            line = line[os.write(self._channel, line) :]


def power_off() -> None:
    os.sync()
    ctypes.CDLL(None).reboot(POWER_OFF)
    sys.exit("it is still on")


if __name__ == "__main__":
    main()

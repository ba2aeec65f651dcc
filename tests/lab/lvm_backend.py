"""An LVM backend of the test's own, in a guest: its volume group, its options, and driver objects of it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from volumed.conf import backend
from volumed.driver.conformance import DataPath
from volumed.driver.interface import Owner
from volumed.driver.registry import Setup
from volumed_drivers.lvm.driver import LvmDriver
from volumed_drivers.lvm.options import OPTIONS

#: Seconds for what takes a moment, in a guest on a busy machine.
PATIENCE = 60.0

#: Where LVM's commands are looked for first; what is here is the guest's own.
FIRST = Path("/usr/local/sbin")

#: The user that a service is which is not root.
NOBODY = 65534

OWNER = Owner("test-deployment", "lvm")

#: The common options that a driver and its target read.
COMMON = {option.dest: option.default for option in backend.OPTIONS} | {"target_port": 0}


def lvm(*command: str) -> str:
    """The output of an LVM command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@contextmanager
def volume_group(name: str, *disks: str) -> Iterator[str]:
    """A group of blank ``disks``, blank again at the end."""
    lvm("vgcreate", "-y", name, *disks)
    try:
        yield name
    finally:
        lvm("vgremove", "-f", "-y", name)
        lvm("pvremove", "-y", *disks)


def volumes(group: str) -> set[str]:
    """The names of the logical volumes that are there."""
    return set(lvm("lvs", "--noheadings", "-o", "lv_name", group).split())


def empty(group: str) -> None:
    """Remove every logical volume of the group."""
    if volumes(group):
        lvm("lvremove", "-y", "-f", group)


@contextmanager
def instead_of(command: str, script: str) -> Iterator[None]:
    """Within, ``command`` is that shell script; ``$0`` is its path, and the real one is in /usr/sbin."""
    FIRST.mkdir(parents=True, exist_ok=True)
    path = FIRST / command
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    try:
        yield
    finally:
        path.unlink()


def as_nobody(work: Callable[[], None], groups: Sequence[int] = ()) -> None:
    """Do it in a process that has no rights beyond those of ``groups``, and wait; what it raises is raised here."""
    assert os.waitstatus_to_exitcode(os.waitpid(nobody(work, groups), 0)[1]) == 0


def nobody(work: Callable[[], None], groups: Sequence[int] = ()) -> int:
    """The same, not waited for: the process's id; what it raises is printed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setgroups(list(groups))
            os.setresuid(NOBODY, NOBODY, NOBODY)
            work()
            status = 0
        except BaseException as error:
            print(repr(error), flush=True)
        finally:
            os._exit(status)
    return child


@contextmanager
def helper(socket: Path, group: str, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """``volumed-lvm`` for the group, for everybody who can connect to ``socket``."""
    words = ["--socket", str(socket), "--group", group, "--user", "nobody"]
    command = [sys.executable, "-m", "volumed_drivers.lvm.helper", *words]
    with subprocess.Popen(command, env=os.environ | (environment or {})) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not socket.is_socket():
                assert process.poll() is None
                assert time.monotonic() < deadline, "the helper does not listen"
                time.sleep(0.02)
            socket.chmod(0o666)
            yield process
        finally:
            process.kill()
            socket.unlink(missing_ok=True)


@dataclass(frozen=True)
class LvmBackend:
    """``folder`` is the backend's state on this node; ``pool`` its volume group."""

    folder: Path
    pool: str
    target: str
    data: DataPath
    owner: Owner = OWNER
    options: dict[str, Any] = field(default_factory=dict)

    def setup(self) -> Setup:
        defaults = {option.dest: option.default for option in OPTIONS}
        told = {
            "volume_group": self.pool,
            "target_helper": self.target,
            "lio_helper_socket": str(self.folder / "lio.sock"),
        }
        return Setup(
            backend=self.owner.backend,
            host="test-host",
            owner=self.owner,
            options=SimpleNamespace(**(COMMON | defaults | told | self.options)),
            state_path=self.folder,
        )

    def driver(self) -> LvmDriver:
        return LvmDriver(self.setup())

    def ready(self) -> LvmDriver:
        """A driver object that is set up."""
        driver = self.driver()
        driver.do_setup()
        driver.check_for_setup_error()
        return driver

    def close(self) -> None:
        """End the target daemon."""
        driver = self.driver()
        driver.do_setup()
        driver.close()

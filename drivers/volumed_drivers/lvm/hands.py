"""Who runs LVM's commands and opens its devices: this process, which may, or the helper of the node.

Knows processes and devices; knows nothing of volumes.
"""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from volumed.driver.commands import Completed, run
from volumed.driver.errors import BackendUnreachable, OutcomeUnknown
from volumed_drivers.helper.client import Client, Kind
from volumed_drivers.helper.errors import translated
from volumed_drivers.helper.wire import Refused, Unanswered
from volumed_drivers.lvm.requests import PROTOCOL, Change, Holders, Open, Report

#: Where udevd listens; without it LVM must make its nodes itself, or it waits for ever. Source: lvm.conf(5), udev_sync.
UDEV = Path("/run/udev/control")

#: What LVM reads in the folder that it is told, and nothing by another name. Source: lvm(8), LVM_SYSTEM_DIR.
CONFIGURATION = "lvm.conf"

#: Where LVM's commands are; a service's own path may lack the folders of the administrator.
PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

#: Seconds that the helper gets beyond the time of a command, to end it and to say so.
MARGIN = 30.0


class Hands(Protocol):
    """What needs rights that a service should not have."""

    def meet(self) -> None:
        """Find out whether it can be done. Raises ``BackendUnreachable``."""

    def change(self, command: Sequence[str]) -> Completed:
        """Run it, whatever it ends with. Raises ``BackendUnreachable`` and ``OutcomeUnknown``."""

    def report(self, group: str, fields: Sequence[str]) -> Completed:
        """What ``vgs`` says of the group, as JSON. Raises as ``change`` does."""

    def open(self, group: str, name: str, writable: bool) -> int:
        """A descriptor of the logical volume's device, which the caller closes. Raises ``OSError``."""

    def holders(self, group: str, name: str) -> str:
        """Who has it open, as far as that can be seen."""


def hands_of(backend: str, options: Any) -> Hands:
    """The helper where the backend has its socket, else this process."""
    if options.lvm_helper_socket:
        return Asked(backend, Path(options.lvm_helper_socket), options.lvm_command_timeout)
    return Own(
        backend,
        options.lvm_command_timeout,
        shlex.split(options.lvm_root_helper),
        options.lvm_conf_file,
        options.lvm_suppress_fd_warnings,
    )


def unread(configuration: str) -> str | None:
    """Why LVM would not read the file of that path; None where it does."""
    if Path(configuration).name != CONFIGURATION:
        return f"LVM reads a file by the name of {CONFIGURATION} only"
    try:
        return None if Path(configuration).is_file() else "there is no such file"
    except PermissionError:  # of us; by sudo LVM is root's
        return None


class Own:
    """This process, by itself or by way of ``prefix`` (``sudo -n``); ``configuration`` is used if LVM reads it."""

    def __init__(
        self, backend: str, timeout: float, prefix: Sequence[str], configuration: str | None, quiet: bool = True
    ) -> None:
        self._backend = backend
        self._timeout = timeout
        self._prefix = prefix
        self._configuration = configuration
        self._quiet = quiet

    def meet(self) -> None:
        """The first command will tell."""

    def change(self, command: Sequence[str]) -> Completed:
        return self._run(command, changes=True)

    def report(self, group: str, fields: Sequence[str]) -> Completed:
        options = ["--reportformat", "json", "--units", "b", "--nosuffix", "-o", ",".join(fields)]
        return self._run(["vgs", *options, group], changes=False)

    def open(self, group: str, name: str, writable: bool) -> int:
        return os.open(device_of(group, name), (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)

    def holders(self, group: str, name: str) -> str:
        try:
            number = os.stat(device_of(group, name)).st_rdev
        except OSError:
            return "by somebody"
        upon = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/holders")
        found = [f"device {each.name}" for each in (upon.iterdir() if upon.is_dir() else ())]
        return ", ".join([*found, *_processes(number)]) or "by somebody"

    def _run(self, command: Sequence[str], changes: bool) -> Completed:
        environment = dict(self._environment())
        if self._prefix:  # sudo(8) passes no environment on
            words = [f"{name}={value}" for name, value in (environment | {"LC_ALL": "C"}).items()]
            command = [*self._prefix, "env", *words, *command]
        return run(self._backend, command, self._timeout, environment | {"PATH": PATH}, changes)

    def _environment(self) -> Iterator[tuple[str, str]]:
        """What LVM is told beside the words of a command."""
        if self._quiet:
            yield "LVM_SUPPRESS_FD_WARNINGS", "1"
        if self._configuration and unread(self._configuration) is None:
            yield "LVM_SYSTEM_DIR", str(Path(self._configuration).parent)
        if not UDEV.exists():
            yield "DM_DISABLE_UDEV", "1"


class Asked:
    """The helper of the node, behind ``path``."""

    def __init__(self, backend: str, path: Path, timeout: float) -> None:
        self._backend = backend
        self._timeout = timeout
        self._client = Client(Kind("lvm", PROTOCOL, timeout + MARGIN), path)

    def meet(self) -> None:
        try:
            self._client.meet()
        except (Refused, Unanswered) as error:
            raise BackendUnreachable(backend=self._backend, reason=str(error)) from error

    def change(self, command: Sequence[str]) -> Completed:
        return self._run(Change(tuple(command), self._timeout), command[0])

    def report(self, group: str, fields: Sequence[str]) -> Completed:
        return self._run(Report(group, tuple(fields), self._timeout), "vgs")

    def open(self, group: str, name: str, writable: bool) -> int:
        try:
            return self._client.ask_for_descriptor(Open(group, name, writable))
        except (Refused, Unanswered) as error:
            raise OSError(0, str(error)) from error

    def holders(self, group: str, name: str) -> str:
        try:
            return str(self._client.ask(Holders(group, name)))
        except (Refused, Unanswered):
            return "by somebody"

    def _run(self, request: Change | Report, what: str) -> Completed:
        with translated(self._backend, what):
            told = self._client.ask(request)
        if "ended" in told:
            raise OutcomeUnknown(what=what, backend=self._backend, reason=told["ended"])
        return Completed(told["status"], told["output"], told["complaint"])


def device_of(group: str, name: str) -> str:
    return f"/dev/{group}/{name}"


def mapper_of(group: str, name: str) -> str:
    """Source: libdevmapper's dm_build_dm_name: a hyphen is two, one stands between group and volume."""
    return f"/dev/mapper/{group.replace('-', '--')}-{name.replace('-', '--')}"


def _processes(number: int) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(_is_device(descriptor, number) for descriptor in (process / "fd").iterdir()):
                yield f"process {process.name} ({(process / 'comm').read_text().strip()})"
        except OSError:
            continue


def _is_device(descriptor: Path, number: int) -> bool:
    try:
        return descriptor.stat().st_rdev == number
    except OSError:
        return False

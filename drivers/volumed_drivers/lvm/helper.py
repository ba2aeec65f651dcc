"""``volumed-lvm``: runs LVM's commands and opens its devices for services of the node that are not root.

It holds the few capabilities that LVM needs, remembers nothing (LVM does), and outlives the services that ask it. A
command holds the lock of its caller, so when both die and the command lives on, the successor waits for its end.
"""

import argparse
import os
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from volumed.driver.commands import Completed
from volumed.driver.errors import BackendUnreachable, OutcomeUnknown
from volumed.model.held_lock import holding
from volumed_drivers.helper.capabilities import (
    CAP_CHOWN,
    CAP_DAC_READ_SEARCH,
    CAP_IPC_LOCK,
    CAP_MKNOD,
    CAP_SYS_ADMIN,
    CAP_SYS_NICE,
    CAP_SYS_PTRACE,
)
from volumed_drivers.helper.server import listener_at, serve
from volumed_drivers.helper.wire import Handed, Hello, Refused
from volumed_drivers.lvm.hands import Own, device_of, mapper_of, unread
from volumed_drivers.lvm.requests import LONGEST, PROTOCOL, Change, Holders, Open, Report, Request, of_words

SOCKET = "/run/volumed/lvm.sock"

#: Device-mapper; its nodes and their owners where no udevd makes them; memory and priority while a device is
#: suspended; and to see who has a volume open: another user's descriptors are listed with the one and followed with
#: the other of the last two. Source: capabilities(7), lvm.conf(5) "activation", proc_pid_fd(5).
CAPABILITIES = (
    CAP_SYS_ADMIN,
    CAP_MKNOD,
    CAP_CHOWN,
    CAP_IPC_LOCK,
    CAP_SYS_NICE,
    CAP_DAC_READ_SEARCH,
    CAP_SYS_PTRACE,
)


@dataclass(frozen=True)
class Desk:
    """Answers requests about ``groups``."""

    groups: tuple[str, ...]
    configuration: str

    def read(self, words: bytes) -> Request:
        return of_words(words, self.groups)

    def answer(self, request: Request, peer: int, lock: int | None) -> Any:
        match request:
            case Hello():
                return {"protocol": PROTOCOL, "pid": os.getpid()}
            case Change(words, timeout):
                with holding(lock):
                    return _end_of(lambda: self._hands(timeout).change(words))
            case Report(group, fields, timeout):
                return _end_of(lambda: self._hands(timeout).report(group, fields))
            case Open(group, name, writable):
                return Handed(None, self._opened(group, name, writable))
            case Holders(group, name):
                return self._hands().holders(group, name)

    def _hands(self, timeout: float = LONGEST) -> Own:
        return Own("volumed-lvm", timeout, (), self.configuration)

    def _opened(self, group: str, name: str, writable: bool) -> int:
        """What is behind the path must be the device-mapper's device of that name. Raises ``Refused``."""
        descriptor = self._hands().open(group, name, writable)
        try:
            if (found := _mapped_name(descriptor)) != Path(mapper_of(group, name)).name:
                raise Refused("invalid", f"{device_of(group, name)} is {found or 'no device of LVM'}")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _end_of(work: Callable[[], Completed]) -> dict[str, Any]:
    try:
        return asdict(work())
    except OutcomeUnknown as error:
        return {"ended": error.fields["reason"]}
    except BackendUnreachable as error:
        raise Refused("unreachable", str(error.fields["reason"])) from error


def _mapped_name(descriptor: int) -> str | None:
    found = os.fstat(descriptor)
    if not stat.S_ISBLK(found.st_mode):
        return None
    device = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    try:
        return Path(f"/sys/dev/block/{device}/dm/name").read_text().strip()
    except OSError:
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the helper until SIGTERM; returns the exit status."""
    told = options(argv)
    listener = listener_at(Path(told.socket))
    if listener is None:
        return 0
    serve(listener, Desk(tuple(told.group), told.lvm_conf), told.user, CAPABILITIES)
    return 0


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="volumed-lvm", description="Runs LVM's commands for services of this node.")
    parser.add_argument("--socket", default=SOCKET, help="where to listen, unless systemd hands a socket over")
    parser.add_argument("--user", action="append", default=[], help="who may ask beside root; several may be given")
    parser.add_argument(
        "--group", action="append", required=True, help="a volume group that may be worked on; several may be given"
    )
    parser.add_argument("--lvm-conf", default="", help="LVM's configuration, a file lvm.conf; default is the node's")
    told = parser.parse_args(argv)
    if told.lvm_conf and (reason := unread(told.lvm_conf)) is not None:
        parser.error(f"--lvm-conf {told.lvm_conf}: {reason}")
    return told


if __name__ == "__main__":
    sys.exit(main())

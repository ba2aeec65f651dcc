"""``volumed-lio``: the one process of a node that writes LIO's configfs, for whoever may ask on its socket.

It holds one capability, remembers nothing (the kernel does), and outlives the services that ask it. Standard library
only. Knows LIO only through ``fabric``.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from volumed_drivers.helper.capabilities import CAP_SYS_ADMIN
from volumed_drivers.helper.server import listener_at, serve
from volumed_drivers.helper.wire import Hello
from volumed_drivers.targets.lio.fabric import Fabric
from volumed_drivers.targets.lio.requests import (
    PROTOCOL,
    Apply,
    Exports,
    Names,
    Remove,
    Request,
    Sessions,
    of_words,
)

SOCKET = "/run/volumed/lio.sock"

#: LIO asks for it where a CHAP secret is read or written; all else below configfs is root's by the permissions of its
#: files, and the kernel opens devices and sockets itself. Source: capabilities(7).
CAPABILITIES = (CAP_SYS_ADMIN,)


@dataclass(frozen=True)
class Desk:
    """Answers requests of users that may ask."""

    fabric: Fabric

    def read(self, words: bytes) -> Request:
        return of_words(words)

    def answer(self, request: Request, peer: int, lock: int | None = None) -> Any:
        match request:
            case Hello():
                self.fabric.meet()
                return {"protocol": PROTOCOL, "pid": os.getpid()}
            case Apply():
                return self.fabric.apply(request, peer)
            case Remove():
                return self.fabric.remove(request)
            case Exports(scope):
                return [asdict(found) for found in self.fabric.exports(scope)]
            case Names(scope):
                return self.fabric.names(scope)
            case Sessions(scope, volume_id):
                return self.fabric.sessions(scope, volume_id)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the helper until SIGTERM; returns the exit status."""
    told = options(argv)
    listener = listener_at(Path(told.socket))
    if listener is None:
        return 0
    if told.load_modules:
        _load_modules()
    serve(listener, Desk(Fabric(tuple(told.path))), told.user, CAPABILITIES)
    return 0


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="volumed-lio", description="Exports block devices by LIO for this node.")
    parser.add_argument("--socket", default=SOCKET, help="where to listen, unless systemd hands a socket over")
    parser.add_argument("--user", action="append", default=[], help="who may ask beside root; several may be given")
    parser.add_argument(
        "--path",
        action="append",
        help="beginning of the paths that may be exported, such as /dev/volumes/; several may be given (/dev/)",
    )
    parser.add_argument("--load-modules", action="store_true", help="load LIO's kernel modules first")
    told = parser.parse_args(argv)
    told.path = told.path or ["/dev/"]
    return told


def _load_modules() -> None:
    for module in ("configfs", "target_core_mod", "target_core_iblock", "target_core_file", "iscsi_target_mod"):
        subprocess.run(["modprobe", "-q", module], stdin=subprocess.DEVNULL, check=False, timeout=30)


if __name__ == "__main__":
    sys.exit(main())

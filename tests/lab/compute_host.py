"""A compute host: os-brick's own connector over open-iscsi, in a process of its own; run in a guest, as root.

    python -m tests.lab.compute_host

Reads a JSON object a line, ``{"call": "connect" | "disconnect" | "disconnect_forced", "data": {...}}`` with the data of
a connection info, and answers each with ``{"answer": ...}`` or ``{"error": "..."}``. Starts iscsid, which outlives
it. Knows os-brick; knows nothing of volumed.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Where os-brick and open-iscsi keep their locks and records, all in the guest's memory.
LOCKS = Path("/run/lock/os-brick")

CONFIGURATION = Path("/etc/iscsi/iscsid.conf")

#: A portal that is dead is given up at once; its own default is minutes.
IMPATIENT = "\nnode.session.initial_login_retry_max = 1\nnode.conn[0].timeo.login_timeout = 15\n"

#: Seconds for one call: open-iscsi tries a dead portal for a while.
TIMEOUT = 120.0


class ComputeHostError(Exception):
    """os-brick's error, in its words."""


class ComputeHost:
    """The other end of the program."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def initiator(self) -> str:
        text = Path("/etc/iscsi/initiatorname.iscsi").read_text()
        return text.partition("InitiatorName=")[2].split()[0]

    def connect(self, info: dict[str, Any]) -> str:
        """Log in; the device's path."""
        answer: str = self._call("connect", info)
        return answer

    def disconnect(self, info: dict[str, Any], forced: bool = False) -> None:
        self._call("disconnect_forced" if forced else "disconnect", info)

    def _call(self, name: str, info: dict[str, Any]) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"call": name, "data": info["data"]}) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise ComputeHostError("it ended")
        told = json.loads(line)
        if "error" in told:
            raise ComputeHostError(told["error"])
        return told["answer"]


@contextmanager
def compute_host() -> Iterator[ComputeHost]:
    """Start one; it ends with the context, its logins too if they were not ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lab.compute_host"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield ComputeHost(process)
    finally:
        process.communicate(timeout=TIMEOUT)


def main() -> None:
    from os_brick import privileged
    from os_brick.initiator.connectors.iscsi import ISCSIConnector

    _prepare()
    for context in (privileged.default, privileged.brick_privsep_hide_output):
        context.set_client_mode(False)  # we are root: no daemon of oslo.privsep
    connector = ISCSIConnector(None, use_multipath=False, device_scan_attempts=5)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            told = {"answer": _answer(connector, asked["call"], asked["data"])}
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)


def _prepare() -> None:
    from os_brick import opts
    from oslo_concurrency import lockutils
    from oslo_config import cfg

    LOCKS.mkdir(parents=True, exist_ok=True)
    lockutils.set_defaults(str(LOCKS))
    cfg.CONF([], project="volumed-test", default_config_files=[])
    opts.set_defaults(cfg.CONF)
    if not Path("/run/iscsid.pid").exists():
        CONFIGURATION.write_text(CONFIGURATION.read_text() + IMPATIENT)
        Path("/run/lock/iscsi").mkdir(parents=True, exist_ok=True)
        subprocess.run(["iscsid"], check=True)


def _answer(connector: Any, call: str, data: dict[str, Any]) -> Any:
    if call == "connect":
        return connector.connect_volume(data)["path"]
    return connector.disconnect_volume(data, None, force="forced" in call, ignore_errors="forced" in call)


if __name__ == "__main__":
    main()

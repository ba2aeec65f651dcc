"""An iSCSI initiator in user space: qemu-io with libiscsi. The secret goes through the environment, never argv.

Source: libiscsi's README (LIBISCSI_CHAP_USERNAME, LIBISCSI_CHAP_PASSWORD).
"""

import os
import re
import subprocess
from dataclasses import dataclass, replace
from typing import Any

#: The name under which qemu logs in when it is given a URL (block/iscsi.c, get_initiator_name).
IQN = "iqn.2008-11.org.linux-kvm"

#: Seconds for one login with its work.
PATIENCE = 30.0

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class InitiatorError(Exception):
    """The login or the work failed; the text is qemu-io's, which holds no secret."""


@dataclass(frozen=True, slots=True)
class Login:
    """Where to log in, and as whom; each method is a login of its own."""

    portal: str
    target: str
    lun: int
    username: str
    password: str

    @classmethod
    def of(cls, connection: dict[str, Any]) -> "Login":
        """From an attachment's ``connection_info``."""
        return cls(
            portal=connection["target_portal"],
            target=connection["target_iqn"],
            lun=int(connection["target_lun"]),
            username=connection["auth_username"],
            password=connection["auth_password"],
        )

    def with_password(self, password: str) -> "Login":
        return replace(self, password=password)

    def write(self, pattern: int, length: str) -> None:
        """Fill the first ``length`` bytes with ``pattern`` and flush."""
        self._run(f"write -P {pattern:#x} 0 {length}", "flush")

    def check(self, pattern: int, length: str) -> None:
        """Raise unless the first ``length`` bytes read as ``pattern``."""
        if "verification failed" in (said := self._run(f"read -P {pattern:#x} 0 {length}")):
            raise InitiatorError(f"{self.target} does not hold the pattern: {said}")

    def size(self) -> int:
        """Bytes of the LUN, as this login sees it."""
        found = re.search(r"^([\d.]+) (\w+)$", said := self._run("length"), re.MULTILINE)
        if found is None or found[2] not in _UNITS:
            raise InitiatorError(f"{self.target} tells no size: {said}")
        return round(float(found[1]) * _UNITS[found[2]])

    def _run(self, *commands: str) -> str:
        arguments = [word for command in commands for word in ("-c", command)]
        # Only where libiscsi reads a URL does it look for the secret in the environment.
        url = f"iscsi://{self.portal}/{self.target}/{self.lun}"
        secrets = {"LIBISCSI_CHAP_USERNAME": self.username, "LIBISCSI_CHAP_PASSWORD": self.password}
        done = subprocess.run(
            ["qemu-io", *arguments, "-f", "raw", url],
            env={**os.environ, **secrets},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        said = (done.stdout + done.stderr).strip()
        if done.returncode != 0 and "verification failed" not in said:
            raise InitiatorError(said or f"qemu-io ended with status {done.returncode}")
        return said

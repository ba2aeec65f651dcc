"""A real iSCSI initiator in user space: ``qemu-io`` with libiscsi, no kernel module and no root needed.

Takes a driver's ``connection_info``. Secrets go through a descriptor, never through argv or the disk. Knows nothing of
volumed's services.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

#: Seconds that one command of the initiator may take.
TIMEOUT = 60.0

#: How qemu-io says that a command failed; a wrong pattern is another matter, its figures follow.
_FAILED = re.compile(r"\b(read|write|flush|discard) failed: ")


class InitiatorError(Exception):
    """The initiator could not log in or not do what was asked; the sentence is its own."""


@dataclass(frozen=True)
class Connection:
    """Where and as whom to log in; ``initiator`` is the IQN to show, None for the initiator's own."""

    portal: str
    target: str
    lun: int
    username: str | None
    password: str | None
    initiator: str | None = None
    read_only: bool = False

    @classmethod
    def of(cls, connection_info: Mapping[str, Any], initiator: str | None = None) -> "Connection":
        """From what ``initialize_connection`` answers."""
        data = connection_info["data"]
        return cls(
            portal=data["target_portal"],
            target=data["target_iqn"],
            lun=int(data["target_lun"]),
            username=data.get("auth_username"),
            password=data.get("auth_password"),
            initiator=initiator,
            read_only=data.get("access_mode") == "ro",
        )


def write_pattern(connection: Connection, pattern: int, offset: int, length: int) -> None:
    """Write ``length`` bytes of the value ``pattern`` from ``offset``, and flush."""
    write_patterns(connection, [(pattern, offset, length)])


def write_patterns(connection: Connection, patterns: Sequence[tuple[int, int, int]]) -> None:
    """The same for several ``(pattern, offset, length)`` with one login."""
    _run(connection, [*(f"write -q -P {pattern} {offset} {length}" for pattern, offset, length in patterns), "flush"])


def has_pattern(connection: Connection, pattern: int, offset: int, length: int) -> bool:
    """True when all ``length`` bytes from ``offset`` have the value ``pattern``."""
    return has_patterns(connection, [(pattern, offset, length)])


def has_patterns(connection: Connection, patterns: Sequence[tuple[int, int, int]]) -> bool:
    """The same for several ``(pattern, offset, length)`` with one login."""
    said = _run(connection, [f"read -P {pattern} {offset} {length}" for pattern, offset, length in patterns])
    return "Pattern verification failed" not in said


def read_pattern(connection: Connection, pattern: int, offset: int, length: int) -> None:
    """Raise ``InitiatorError`` unless all ``length`` bytes from ``offset`` have the value ``pattern``."""
    if not has_pattern(connection, pattern, offset, length):
        raise InitiatorError(f"bytes {offset}+{length} of {connection.target} are not all {pattern}")


def size(connection: Connection) -> int:
    """The LUN's size in bytes, as a new login sees it."""
    for line in _run(connection, ["info", "length"]).splitlines():
        number, _, unit = line.strip().partition(" ")
        scale = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}.get(unit)
        if scale:
            return round(float(number) * scale)
    raise InitiatorError(f"{connection.target} tells no size")


def discovery(portal: str, initiator: str | None = None) -> list[str]:
    """Names of the targets that the portal shows to this initiator (``iscsi-ls`` of libiscsi-bin)."""
    argv = ["iscsi-ls", *(["-i", initiator] if initiator else []), f"iscsi://{portal}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("Target:")]
    return [line.removeprefix("Target:").split(" ")[0] for line in lines]


def serial_number(connection: Connection) -> str:
    """What the LUN says it is (``iscsi-inq`` of libiscsi-bin, vital product data page 0x80)."""
    url = f"iscsi://{connection.portal}/{connection.target}/{connection.lun}"
    secrets = {
        "LIBISCSI_CHAP_USERNAME": connection.username or "",
        "LIBISCSI_CHAP_PASSWORD": connection.password or "",
    }
    done = subprocess.run(
        ["iscsi-inq", "-e", "1", "-c", "128", url],
        capture_output=True,
        text=True,
        env=os.environ | secrets,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        raise InitiatorError((done.stdout + done.stderr).strip())
    return done.stdout.partition("[")[2].partition("]")[0].strip()


class Session:
    """A login that is held open, with commands sent one after the other."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def write_pattern(self, pattern: int, offset: int, length: int) -> None:
        self._send(f"write -P {pattern} {offset} {length}")

    def has_pattern(self, pattern: int, offset: int, length: int) -> bool:
        return "Pattern verification failed" not in self._send(f"read -P {pattern} {offset} {length}")

    def _send(self, command: str) -> str:
        """Send one command and read its answer: up to its line of figures, or the sentence why it failed."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        answer = ""
        try:
            stdin.write(f"{command}\n")
            stdin.flush()
            while not answer.rstrip().endswith("ops/sec)"):
                line = stdout.readline()
                answer += line
                if not line or _FAILED.search(line):
                    raise InitiatorError(answer.strip() or "the session ended")
        except BrokenPipeError as error:
            raise InitiatorError("the session ended") from error
        return answer


@contextmanager
def session(connection: Connection) -> Iterator[Session]:
    """Hold a session open. Raises ``InitiatorError`` when the login fails."""
    with _secret(connection) as (options, descriptors):
        process = subprocess.Popen(
            ["qemu-io", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=descriptors,
            bufsize=1,
        )
    try:
        held = Session(process)
        held._send("read 0 512")
        yield held
    finally:
        process.kill()
        process.communicate()


def _run(connection: Connection, commands: Sequence[str]) -> str:
    arguments = [argument for command in commands for argument in ("-c", command)]
    with _secret(connection) as (options, descriptors):
        done = subprocess.run(
            ["qemu-io", *arguments, *options],
            capture_output=True,
            text=True,
            pass_fds=descriptors,
            timeout=TIMEOUT,
            check=False,
        )
    text = done.stdout + done.stderr
    if done.returncode != 0 and "Pattern verification failed" not in text:
        raise InitiatorError(text.strip() or f"qemu-io ended with {done.returncode}")
    return text


@contextmanager
def _secret(connection: Connection) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """The options to log in with; the password lies in a file without a name."""
    image = [
        "driver=raw",
        "file.driver=iscsi",
        "file.transport=tcp",
        f"file.portal={connection.portal}",
        f"file.target={connection.target}",
        f"file.lun={connection.lun}",
    ]
    mode = ["-r"] if connection.read_only else []
    if connection.initiator:
        image.append(f"file.initiator-name={connection.initiator}")
    if connection.username is None:
        yield [*mode, "--image-opts", ",".join(image)], ()
        return
    image += [f"file.user={connection.username}", "file.password-secret=chap"]
    descriptor = os.memfd_create("chap")
    try:
        os.write(descriptor, (connection.password or "").encode())
        secret = f"secret,id=chap,file=/proc/self/fd/{descriptor}"
        yield [*mode, "--object", secret, "--image-opts", ",".join(image)], (descriptor,)
    finally:
        os.close(descriptor)


def wait_until_free(connection: Connection, patience: float = 10.0) -> None:
    """Wait until a login works again, for instance after the target was restarted."""
    deadline = time.monotonic() + patience
    while True:
        try:
            size(connection)
            return
        except InitiatorError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.1)

"""How a driver runs a command: bounded in time, and never alone with what it works on.

The command holds the lock of the work that runs it, as its standard input: LVM and sudo close every other descriptor.
So when this process dies and the command lives on, whoever takes the work over waits until it is really gone.
"""

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from volumed.driver.errors import BackendUnreachable, OutcomeUnknown
from volumed.model.held_lock import held_lock

LOG = logging.getLogger(__name__)

#: Seconds between SIGTERM and SIGKILL.
GRACE = 2.0

#: Seconds between two looks at what is not ours to end.
PAUSE = 0.1

#: Characters of a command's complaint that an error quotes.
MOST_QUOTED = 500


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command said. ``status`` is its exit status, negative when a signal ended it."""

    status: int
    output: str
    complaint: str

    @property
    def reason(self) -> str:
        """The complaint in one line, for an error."""
        said = " ".join(self.complaint.split())[:MOST_QUOTED]
        return f"exit status {self.status}" + (f": {said}" if said else "")


def run(
    backend: str,
    command: Sequence[str],
    timeout: float,
    environment: Mapping[str, str] | None = None,
    changes: bool = True,
) -> Completed:
    """Run ``command`` (the program first, never a shell) and wait for its end, at most ``timeout`` seconds.

    Past that it gets SIGTERM, and SIGKILL ``GRACE`` seconds later, with all that it started in its session. What cannot
    be ended, as in the kernel or by sudo, is waited for if it ``changes`` anything, and otherwise left alone. Secrets
    belong into ``environment``, never into ``command``: whoever is on the node can read that.

    Raises ``BackendUnreachable`` when the program is not there, ``OutcomeUnknown`` when it had to be ended: it may
    have done its work or not. Whatever exit status it ends with is for the caller to judge.
    """
    lock = held_lock()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if lock is None else lock,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise BackendUnreachable(backend=backend, reason=f"{command[0]}: {error.strerror or error}") from error
    try:
        output, complaint = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(process, command[0], changes)
        reason = f"it did not end within {timeout:g} s and was ended"
        raise OutcomeUnknown(what=command[0], backend=backend, reason=reason) from None
    except BaseException:
        _end(process, command[0], changes)
        raise
    return Completed(process.returncode, output.decode(errors="replace"), complaint.decode(errors="replace"))


def _end(process: "subprocess.Popen[bytes]", name: str, waits: bool) -> None:
    """End the command and all of its session, and wait: the lock must not go while it lives."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=GRACE)
            break
    # What ignored SIGTERM while the command itself did not goes now.
    is_over = process.returncode is not None and _signal(process.pid, signal.SIGKILL)
    if is_over or not waits:
        return
    LOG.warning("%s (process %d) cannot be ended, and is waited for: it may still change something", name, process.pid)
    process.wait()
    while not _signal(process.pid, signal.SIGKILL):
        time.sleep(PAUSE)


def _signal(session: int, number: int) -> bool:
    """Send it to all of the session; False while all that is left there is root's and not ours to end, as by sudo."""
    try:
        os.killpg(session, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True

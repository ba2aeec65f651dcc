"""A driver's command: what it said, its bound, what it started, and the lock that it holds."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from volumed.driver import commands
from volumed.driver.errors import BackendUnreachable, OutcomeUnknown
from volumed.operations.locks import Claims, NodeLocks, ResourceLocked


def sleepers(mark: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or [])]


def test_what_it_said_and_how_it_ended() -> None:
    done = commands.run("disk", ["sh", "-c", "echo yes; echo no >&2; exit 3"], timeout=30)
    assert (done.status, done.output, done.complaint) == (3, "yes\n", "no\n")
    assert done.reason == "exit status 3: no"


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(BackendUnreachable, match="disk cannot be reached: no-such-program: No such file"):
        commands.run("disk", ["no-such-program"], timeout=30)


def test_a_secret_goes_by_the_environment() -> None:
    assert commands.run("disk", ["sh", "-c", 'echo "$SECRET"'], 30, {"SECRET": "x"}).output == "x\n"


def test_a_command_that_ignores_sigterm_is_killed_with_what_it_started() -> None:
    mark = f"9{time.time_ns() % 10**8}"
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown, match=r"outcome of sh on disk is unknown: it did not end within 0.5 s"):
        commands.run("disk", ["sh", "-c", f"trap '' TERM; sleep {mark} & while :; do sleep 1; done"], timeout=0.5)
    assert time.monotonic() - started < 60
    assert sleepers(mark) == []


def test_what_ignores_sigterm_beside_a_command_that_does_not_is_killed_too() -> None:
    mark = f"9{time.time_ns() % 10**8}"
    script = f"(trap '' TERM; exec sleep {mark}) & sleep 1000"
    with pytest.raises(OutcomeUnknown):
        commands.run("disk", ["sh", "-c", script], timeout=0.5)
    deadline = time.monotonic() + 30
    while sleepers(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sleepers(mark) == []


HOLDER = """
import sys
from pathlib import Path
from volumed.driver import commands
from volumed.operations.locks import Claims, NodeLocks
with NodeLocks(Path(sys.argv[1])).holding(Claims(exclusive=["volume"], shared=["source"]), 0):
    script = 'echo $$ > "$0/pid.part"; mv "$0/pid.part" "$0/pid"; exec sleep 600'
    commands.run("disk", ["sh", "-c", script, sys.argv[2]], 600)
"""


def test_a_command_that_outlives_its_process_keeps_the_lock(tmp_path: Path) -> None:
    locks, notes = tmp_path / "locks", tmp_path / "notes"
    notes.mkdir()
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(locks), str(notes)])
    deadline = time.monotonic() + 60
    while not (notes / "pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    command = int((notes / "pid").read_text())
    process.kill()
    process.wait()
    successor = NodeLocks(locks)
    try:
        successor.tidy()
        with pytest.raises(ResourceLocked, match="lock of volume"):
            with successor.holding(Claims(exclusive=["volume"]), 0.2):
                pass
        with successor.holding(Claims(exclusive=["source"]), 0.2):  # only read, by the process that is gone
            pass
    finally:
        os.kill(command, 9)
    with successor.holding(Claims(exclusive=["volume"]), 30):
        pass
    assert list(locks.iterdir()) == []

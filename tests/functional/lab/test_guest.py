"""The machine of its own that tests of kernels' parts run on: what its users rely on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.lab.guest.machine import PATIENCE, GuestDied, Machine, guest, make_disk

pytestmark = pytest.mark.part("guest")

#: Boots a guest and says so.
BOOT = (
    "from tests.lab.guest.machine import Machine; m = Machine(blank=[1]).boot(); print(m._folder, flush=True); input()"
)


def test_a_machine_runs_commands_and_its_disk_survives_its_crash(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    with guest([make_disk(tmp_path / "disk", 1)], blank=[2], shared=[shared]) as machine:
        done = machine.run(["sh", "-c", "echo said; echo complained >&2; exit 3"])
        assert (done.status, done.output, done.complaint) == (3, "said\n", "complained\n")
        assert machine.run(["/no/such/program"]).status == 127
        assert machine.check(["cat", "/etc/services"]) == Path("/etc/services").read_text()
        assert machine.run(["sh", "-c", "echo $VALUE"], environment={"VALUE": "v" * 30000}).output == "v" * 30000 + "\n"
        with pytest.raises(TimeoutError):
            machine.run(["sleep", "600"], timeout=0.1)
        assert machine.check(["blockdev", "--getsize64", "/dev/ubdb"]) == f"{2 * 1024**3}\n"

        machine.check(["sh", "-c", f"echo here >{shared}/file; touch /etc/only-there"])
        assert (shared / "file").read_text() == "here\n"
        machine.check(["vgcreate", "-q", "kept", "/dev/ubda"])
        sleeper = machine.start(["sleep", "600"])
        machine.crash()
        with pytest.raises(GuestDied):
            sleeper.wait()

        machine.boot()
        assert machine.check(["vgs", "--noheadings", "-o", "vg_name"]).split() == ["kept"]
        assert machine.run(["test", "-e", "/etc/only-there"]).status == 1
        machine.power_off()
    assert not Path("/etc/only-there").exists()


def test_nothing_is_left_of_a_machine_whose_user_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BOOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    ) as user:
        assert user.stdout is not None
        folder = Path(user.stdout.readline().strip())
        kernel = psutil.Process(int((folder / "pid").read_text()))
        group = [process for process in psutil.process_iter() if _group(process) == kernel.pid]
        assert kernel in group
        user.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(group, timeout=PATIENCE)
    assert not alive
    deadline = time.monotonic() + PATIENCE
    while folder.exists():
        assert time.monotonic() < deadline, "its folder is still there"
        time.sleep(0.02)


def test_a_machine_that_cannot_boot_says_what_its_console_said() -> None:
    with pytest.raises(GuestDied, match="did not boot"):
        Machine(memory=16).boot()


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


#: Runs a test that wants a guest where none starts.
NO_GUEST = """
import sys, pytest
from tests.lab.guest import plugin
def start(*ignored):
    raise OSError("no kernel starts here")
plugin.Session.start = start
sys.exit(pytest.main(["-n", "0", "-rfs", "-p", "no:cacheprovider", "tests/guest/test_guest.py"]))
"""


@pytest.mark.parametrize(("ci", "outcome"), [("true", "failed"), ("", "skipped")])
def test_a_guest_that_does_not_start_is_a_failure_in_ci_and_a_reason_elsewhere(ci: str, outcome: str) -> None:
    environment = os.environ | {"CI": ci, "PYTEST_ADDOPTS": ""}
    done = subprocess.run([sys.executable, "-c", NO_GUEST], capture_output=True, text=True, env=environment)
    assert "no kernel starts here" in done.stdout
    assert f" {outcome}" in done.stdout.splitlines()[-1]
    assert (done.returncode == 0) is (outcome == "skipped")

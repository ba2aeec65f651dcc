"""The demo comes true, and leaves nothing behind when it is stopped in the middle."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = [
    pytest.mark.embedded_only("the demo starts volumed up itself"),
    pytest.mark.part("tgtd"),
    pytest.mark.part("qemu-io"),
]

COMMAND = (sys.executable, "-m", "demo.main_job")
CHECKOUT = Path(__file__).parents[2]


def processes_in(folder: Path) -> list[psutil.Process]:
    def works_there(process: psutil.Process) -> bool:
        try:
            return any(str(folder) in word for word in (*process.cmdline(), process.cwd()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    return [process for process in psutil.process_iter() if works_there(process)]


def test_the_demo_comes_true(tmp_path: Path) -> None:
    done = subprocess.run(
        COMMAND,
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOTHING IS LEFT" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", ["volumed up", "attach it"])
def test_a_demo_that_is_stopped_leaves_no_process_and_no_file(tmp_path: Path, number: int, after: str) -> None:
    demo = subprocess.Popen(
        COMMAND,
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    while after not in demo.stdout.readline():
        assert demo.poll() is None
    time.sleep(0.05)
    demo.send_signal(number)
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert processes_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []

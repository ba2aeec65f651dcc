"""Locks of a node: writers alone, readers together, no file left, and a holder that is named."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from volumed.model.errors import ServiceLocked
from volumed.operations.locks import Claims, NodeLocks, ResourceLocked, ServiceLock


def test_one_writer_at_a_time_and_readers_together(tmp_path: Path) -> None:
    locks = NodeLocks(tmp_path)
    with locks.holding(Claims(exclusive=["b"], shared=["a"]), 0):
        with locks.holding(Claims(exclusive=[], shared=["a"]), 0):
            pass
        with pytest.raises(ResourceLocked, match="lock of a"), locks.holding(Claims(exclusive=["a"]), 0):
            pass
        with pytest.raises(ResourceLocked), locks.holding(Claims(exclusive=[], shared=["b"]), 0):
            pass


def test_no_file_is_left_behind(tmp_path: Path) -> None:
    locks = NodeLocks(tmp_path)
    with locks.holding(Claims(exclusive=["a"], shared=["b", "c"]), 0):
        assert len(list(tmp_path.iterdir())) == 3
    assert list(tmp_path.iterdir()) == []


def test_files_that_a_killed_process_left_are_removed_but_not_those_that_are_held(tmp_path: Path) -> None:
    locks = NodeLocks(tmp_path)
    for name in ("left.lock", "service-a@b.lock"):
        (tmp_path / name).touch()
    with locks.holding(Claims(exclusive=["held"]), 0):
        locks.tidy()
        assert {path.name for path in tmp_path.iterdir()} == {"held.lock", "service-a@b.lock"}


def test_a_lock_survives_its_process_in_a_command_that_has_it_as_stdin(tmp_path: Path) -> None:
    locks = NodeLocks(tmp_path)
    script = (
        "import subprocess, sys, fcntl, os\n"
        "lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "child = subprocess.Popen(['sleep', '60'], stdin=lock, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
    )
    path = tmp_path / "a.lock"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    orphan = int(done.stdout)
    try:
        with pytest.raises(ResourceLocked), locks.holding(Claims(exclusive=["a"]), 0.1):
            pass
    finally:
        os.kill(orphan, signal.SIGKILL)
    with locks.holding(Claims(exclusive=["a"]), 5):
        pass


def test_many_threads_never_hold_it_together(tmp_path: Path) -> None:
    locks = NodeLocks(tmp_path)
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(30):
            with locks.holding(Claims(exclusive=["a"]), 30):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_of_a_service_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    path = tmp_path / "service.lock"
    first, second = ServiceLock(path, "volumed-volume a@b"), ServiceLock(path, "volumed-volume a@b")
    first.take("process 7")
    with pytest.raises(ServiceLocked, match="volumed-volume a@b is already running as process 7"):
        second.take("process 8")
    first.release()
    second.take("process 8")
    second.release()

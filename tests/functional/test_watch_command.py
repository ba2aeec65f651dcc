"""``volumed operations --watch`` as a user has it on the terminal: a process, its lines, and Ctrl-C."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from tests.lab.daemon import Daemon
from tests.lab.faulty_fleet import Fleet, faulty_fleet
from tests.lab.nursery import ForkedDaemon, forked_daemon

PATIENCE = 60.0


class Watch:
    """The running command; ``until`` reads its lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._arriving: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._arriving.put(line)
        self._arriving.put(None)

    def wait_until_following(self) -> None:
        """From now on whatever happens is seen, however short it is."""
        assert self.process.stderr is not None
        assert "following operations" in self.process.stderr.readline()

    def until(self, wanted: Callable[[str], Any]) -> str:
        """The next line that is wanted; all lines are kept."""
        deadline = time.monotonic() + PATIENCE
        while True:
            line = self._arriving.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line is not None, f"it has ended: {self.lines}"
            self.lines.append(line)
            if wanted(line):
                return line

    def until_state(self, resource_id: str, state: str) -> Any:
        """As ``until``, of the lines of ``--json``."""
        return json.loads(self.until(lambda line: _is(json.loads(line), resource_id, state)))

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C; the exit status, and what stderr had."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stderr is not None
        return status, self.process.stderr.read()


def _is(operation: Any, resource_id: str, state: str) -> bool:
    return bool(operation["resource_id"] == resource_id and operation["state"] == state)


@contextmanager
def watching(daemon: Daemon, *words: str, token: str = "admin:admin") -> Iterator[Watch]:
    process = subprocess.Popen(
        [sys.executable, "-m", "volumed.cmd.volumed", "operations", *words],
        env={**os.environ, "VOLUMED_URL": daemon.url, "VOLUMED_TOKEN": token},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever runs the tests in the background may have it ignored, and that is inherited.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        text=True,
    )
    watch = Watch(process)
    try:
        yield watch
    finally:
        process.kill()
        process.wait()
        watch._reader.join()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def server() -> Iterator[ForkedDaemon]:
    with forked_daemon("[file]\ntarget_helper = fake\n") as daemon:
        yield daemon


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with faulty_fleet("one", options={"retry_pause": 2, "forward_retries": 100}) as fleet:
        yield fleet


def test_each_change_is_a_line_of_json_also_over_a_kill_of_the_server(server: ForkedDaemon) -> None:
    with server.session() as rest:
        before = rest.make_volume()
        with watching(server, "--watch", "--json") as watch:
            watch.wait_until_following()
            first = rest.make_volume()
            watch.until_state(first, "succeeded")
            server.trap.arm("volume.create.provision.before")
            interrupted = rest.create_volume()["id"]
            server.wait_for_death()
            server.start()
            watch.until_state(interrupted, "succeeded")
            with server.session() as again:
                last = again.make_volume()
            watch.until_state(last, "succeeded")
            status, said = watch.interrupt()
    assert status == 0
    assert "Traceback" not in said
    told = [json.loads(line) for line in watch.lines]
    assert before not in {each["resource_id"] for each in told}
    for operation_id in {each["id"] for each in told}:
        states = [(each["state"], each["wait_reason"]) for each in told if each["id"] == operation_id]
        assert all(one != following for one, following in pairwise(states)), states


def test_what_is_under_way_is_told_at_once_and_what_it_waits_for_on_one_line(fleet: Fleet) -> None:
    volume_id = fleet.available()
    fleet.faults["one"].order("delete", lasting=True)
    fleet.rest.delete(f"/volumes/{volume_id}")
    with watching(fleet.daemon, "list", "--watch", "--resource", volume_id) as watch:
        waiting = watch.until(lambda line: "volume.delete waiting" in line)
        assert "delete was told to fail" in waiting
        assert f"volume {volume_id}" in waiting
        fleet.faults["one"].clear()
        ended = watch.until(lambda line: "volume.delete succeeded after" in line)
        assert f"volume {volume_id}" in ended
        status, said = watch.interrupt()
    assert status == 0
    assert said.count("\n") == 1, said


def test_a_user_follows_his_own_and_wrong_usage_is_told(server: ForkedDaemon) -> None:
    with (
        server.session("alice", "p1") as alice,
        server.session("bob", "p2") as bob,
        watching(server, "--watch", "--json", token="alice:p1") as watch,
    ):
        watch.wait_until_following()
        theirs = bob.make_volume()
        mine = alice.make_volume()
        watch.until_state(mine, "succeeded")
        assert theirs not in "".join(watch.lines)
        assert watch.interrupt()[0] == 0
    for words in ((), ("list", "--watch", "--state", "failed")):
        with watching(server, *words) as refused:
            assert refused.process.wait(PATIENCE) == 2

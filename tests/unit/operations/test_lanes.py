"""Lanes: nothing twice at a time, nothing lost, long work never in the way of short."""

import threading
import time
from collections import Counter

from volumed.operations.lanes import LONG, SHORT, Lanes


def until(condition, seconds=5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.002)
    return False


def test_an_id_woken_many_times_while_queued_runs_once_and_woken_while_running_once_more() -> None:
    runs: Counter[str] = Counter()
    started, go = threading.Event(), threading.Event()

    def run(operation_id: str) -> None:
        runs[operation_id] += 1
        started.set()
        go.wait(5)

    lanes = Lanes("t", {SHORT: 2}, run)
    for _ in range(5):
        lanes.wake("a", SHORT)
    lanes.start()
    assert started.wait(5)
    for _ in range(5):
        lanes.wake("a", SHORT)
    go.set()
    assert until(lambda: runs["a"] == 2)
    time.sleep(0.02)
    assert runs["a"] == 2
    assert lanes.stop(5)


def test_long_work_leaves_the_short_lane_free() -> None:
    done: list[str] = []
    hold = threading.Event()

    def run(operation_id: str) -> None:
        if operation_id.startswith("copy"):
            hold.wait(5)
        done.append(operation_id)

    lanes = Lanes("t", {SHORT: 1, LONG: 1}, run)
    lanes.start()
    for number in range(5):
        lanes.wake(f"copy-{number}", LONG)
    lanes.wake("attach", SHORT)
    assert until(lambda: done == ["attach"])
    hold.set()
    assert until(lambda: len(done) == 6)
    assert lanes.stop(5)


def test_a_failure_outside_the_steps_stops_no_worker(caplog) -> None:
    done: list[str] = []

    def run(operation_id: str) -> None:
        if operation_id == "bad":
            raise RuntimeError("bug")
        done.append(operation_id)

    lanes = Lanes("t", {SHORT: 1}, run)
    lanes.start()
    lanes.wake("bad", SHORT)
    lanes.wake("good", SHORT)
    assert until(lambda: done == ["good"])
    assert lanes.stop(5)


def test_a_wake_up_after_a_pause_comes_after_it_and_holds_no_worker() -> None:
    done: list[tuple[str, float]] = []
    begin = time.monotonic()
    lanes = Lanes("t", {SHORT: 1}, lambda operation_id: done.append((operation_id, time.monotonic() - begin)))
    lanes.start()
    lanes.wake_after("late", SHORT, 0.2)
    lanes.wake_after("soon", SHORT, 0.05)
    assert until(lambda: len(done) == 2)
    assert [operation_id for operation_id, _ in done] == ["soon", "late"]
    assert done[1][1] >= 0.2
    assert lanes.stop(5)


def test_stop_waits_for_what_runs_and_says_when_it_did_not_end() -> None:
    hold = threading.Event()
    lanes = Lanes("t", {SHORT: 1}, lambda operation_id: hold.wait(10) and None)
    lanes.start()
    lanes.wake("a", SHORT)
    time.sleep(0.05)
    assert not lanes.stop(0.05)
    hold.set()
    assert lanes.stop(5)


def test_what_is_woken_in_another_lane_while_it_runs_goes_there() -> None:
    threads: list[str] = []
    started, go = threading.Event(), threading.Event()

    def run(operation_id: str) -> None:
        threads.append(threading.current_thread().name.partition(" ")[0])
        started.set()
        go.wait(5)

    lanes = Lanes("t", {SHORT: 1, LONG: 1}, run)
    lanes.start()
    lanes.wake("a", SHORT)
    assert started.wait(5)
    lanes.wake("a", LONG)
    go.set()
    assert until(lambda: threads == [SHORT, LONG])
    assert lanes.stop(5)


def test_what_waits_behind_long_work_and_is_cancelled_runs_where_there_is_room_and_once() -> None:
    runs: list[str] = []
    hold = threading.Event()

    def run(operation_id: str) -> None:
        if operation_id == "copy":
            hold.wait(5)
        runs.append(operation_id)

    lanes = Lanes("t", {SHORT: 1, LONG: 1}, run)
    lanes.start()
    lanes.wake("copy", LONG)
    lanes.wake("large", LONG)
    lanes.wake("large", SHORT)
    assert until(lambda: runs == ["large"])
    hold.set()
    lanes.wake("after", LONG)
    assert until(lambda: runs == ["large", "copy", "after"])
    assert lanes.stop(5)

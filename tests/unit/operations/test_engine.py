"""One operation from claim to end: repeats, undo in order, retries forward, another placement, a database that goes."""

import dataclasses
import errno
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from volumed.db import operations, tables
from volumed.db.engine import Database
from volumed.db.operations import NewOperation
from volumed.model.errors import (
    BackendBusy,
    BackendFull,
    BackendInvalid,
    BackendUnreachable,
    NotFound,
    ServiceUnavailable,
)
from volumed.operations import run
from volumed.operations.engine import Engine, Rules
from volumed.operations.locks import Claims, NodeLocks
from volumed.operations.procedure import Tried

QUEUE = "node@disk"
RULES = Rules(
    forward_retries=2,
    retry_pause=0.0,
    undo_timeout=0.2,
    lock_patience=0.0,
    progress_interval=0.0,
    endless=frozenset({"endless"}),
)


class Work:
    def __init__(self, operation):
        self.operation = operation
        self.progress = None


class Recorded:
    """A step that notes what is done to it and fails as told."""

    def __init__(self, name, log, failures=(), undo_failures=()):
        self.name = name
        self.log = log
        self.failures = list(failures)
        self.undo_failures = list(undo_failures)

    def do(self, work):
        self.log.append(f"do {self.name}")
        if self.failures and (error := self.failures.pop(0)) is not None:
            raise error

    def undo(self, work):
        self.log.append(f"undo {self.name}")
        if self.undo_failures and (error := self.undo_failures.pop(0)) is not None:
            raise error


class Elsewhere:
    def __init__(self, log):
        self.log = log

    def retreat(self, tx, work, error):
        self.log.append("retreat")
        return Tried("node@disk#pool", "storage-1", error), None

    def cleanup(self, work):
        leftover = str(uuid.uuid4())
        return NewOperation(leftover, "cleanup", "leftover", leftover, "v", "p", "u", "req-1", QUEUE)


class Recipe:
    kind = "work"

    def __init__(self, steps, log, no_return=None, elsewhere=None):
        self.steps = tuple(steps)
        self.log = log
        self.no_return = no_return
        self.elsewhere = elsewhere
        self.missing = False

    def prepare(self, operation):
        if self.missing:
            raise NotFound(resource_type="volume", resource_id="v")
        return Work(operation)

    def locks(self, work):
        return Claims(exclusive=[work.operation.resource_id])

    def succeed(self, tx, work):
        self.log.append("succeed")

    def fail(self, tx, work, error):
        self.log.append("fail")

    def ended(self, work, state):
        self.log.append(f"ended {state}")


class Bench:
    """An engine over one recipe, with what it asked to be woken."""

    def __init__(
        self, database: Database, folder: Path, recipe: Recipe, worker: str = "worker-1", rules: Rules = RULES
    ) -> None:
        self.database = database
        self.locks = NodeLocks(folder / "locks")
        self.later: list[tuple[str, float]] = []
        self.placed: list[str] = []
        self.engine = Engine(
            database,
            self.locks,
            QUEUE,
            worker,
            [recipe],
            rules,
            lambda operation_id, lane, pause: self.later.append((operation_id, pause)),
            lambda operation: self.placed.append(operation.id),
        )

    def with_lanes(self, recipe: Recipe, lane_of: Callable[..., str]) -> list[tuple[str, str, float]]:
        """Have an engine that knows where operations belong; what it asks to be woken goes into the list."""
        woken: list[tuple[str, str, float]] = []
        self.engine = Engine(
            self.database,
            self.locks,
            QUEUE,
            "worker-1",
            [recipe],
            RULES,
            lambda *asked: woken.append(asked),
            lambda operation: None,
            lane_of,
        )
        return woken

    def run(self, operation_id: str):
        self.engine.run(operation_id)
        return self.read(operation_id)

    def read(self, operation_id: str):
        with self.database.reading() as tx:
            return operations.get(tx, operation_id)

    def rest(self) -> None:
        """Wait until the pause that was asked for last is over."""
        time.sleep(self.later[-1][1])


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Callable[..., Bench]:
    return lambda recipe, **more: Bench(database, tmp_path, recipe, **more)


def full() -> BackendFull:
    return BackendFull(backend="disk", what="a volume", reason="no room")


def test_all_steps_then_the_end(bench, queued) -> None:
    log: list[str] = []
    ended = bench(Recipe([Recorded("a", log), Recorded("b", log)], log)).run(queued())
    assert log == ["do a", "do b", "succeed", "ended succeeded"]
    assert ended.state == "succeeded"
    assert [(entry["step"], entry["outcome"]) for entry in ended.timeline] == [("a", "done"), ("b", "done")]
    assert ended.ended_at is not None


def test_a_failure_is_undone_from_the_failed_step_backwards(bench, queued) -> None:
    log: list[str] = []
    steps = [Recorded("a", log), Recorded("b", log, failures=[full()]), Recorded("c", log)]
    ended = bench(Recipe(steps, log)).run(queued())
    assert log == ["do a", "do b", "undo b", "undo a", "fail", "ended failed"]
    assert ended.error["message"] == "disk cannot hold a volume: no room"


def test_an_undo_that_was_interrupted_undoes_every_step(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued()
    lost = database.write(operations.claim, operation_id, QUEUE, "worker-0", "token")
    database.write(operations.begin_undo, lost, {"message": "no", "retry_elsewhere": False}, [])
    ended = bench(Recipe([Recorded("a", log), Recorded("b", log)], log)).run(operation_id)
    assert log == ["undo b", "undo a", "fail", "ended failed"]
    assert ended.error["message"] == "no"


def test_an_interrupted_undo_of_what_was_never_begun_has_nothing_behind_the_point_of_no_return(
    bench, queued, database
) -> None:
    log: list[str] = []
    operation_id = queued()
    lost = database.write(operations.claim, operation_id, QUEUE, "worker-0", "token")
    database.write(operations.begin_undo, lost, ASKED | {"retry_elsewhere": False}, [])
    steps = [Recorded("a", log), Recorded("b", log), Recorded("c", log)]
    assert bench(Recipe(steps, log, no_return="b")).run(operation_id).error == ASKED
    assert log == ["undo a", "fail", "ended failed"]


def test_another_backend_gets_its_chance_and_the_reasons_are_kept(bench, queued) -> None:
    log: list[str] = []
    at = bench(Recipe([Recorded("a", log, failures=[full()])], log, elsewhere=Elsewhere(log)))
    back = at.run(queued())
    assert (back.state, back.queue, back.attempt, back.worker) == ("queued", "scheduler", 1, None)
    assert back.tried[0]["storage_id"] == "storage-1"
    assert back.tried[0]["error"]["message"].startswith("disk cannot hold")
    assert at.placed == [back.id]


def test_every_failed_attempt_goes_back_with_its_reason_and_the_scheduler_counts_them(bench, queued, database) -> None:
    log: list[str] = []
    steps = [Recorded("a", log, failures=[full(), full()])]
    at = bench(Recipe(steps, log, elsewhere=Elsewhere(log)))
    operation_id = queued()
    at.run(operation_id)
    assert database.write(operations.place, operation_id, 1, QUEUE, {})
    back = at.run(operation_id)
    assert (back.state, back.queue, back.attempt) == ("queued", "scheduler", 2)
    assert [tried["error"]["message"] for tried in back.tried] == ["disk cannot hold a volume: no room"] * 2


def test_what_is_wrong_everywhere_is_not_tried_elsewhere(bench, queued) -> None:
    log: list[str] = []
    refused = BackendInvalid(backend="disk", what="it", reason="never")
    ended = bench(Recipe([Recorded("a", log, failures=[refused])], log, elsewhere=Elsewhere(log))).run(queued())
    assert ended.state == "failed"


def test_past_the_point_of_no_return_it_is_tried_again(bench, queued) -> None:
    log: list[str] = []
    gone = BackendUnreachable(backend="disk", reason="asleep")
    at = bench(Recipe([Recorded("a", log, failures=[gone])], log, no_return="a"))
    operation_id = queued()
    waiting = at.run(operation_id)
    assert (waiting.state, waiting.wait_reason) == ("waiting", "disk cannot be reached: asleep")
    assert at.later[0][0] == operation_id
    assert at.run(operation_id).state == "succeeded"
    assert log == ["do a", "do a", "succeed", "ended succeeded"]


def test_and_ends_failed_when_it_never_works(bench, queued) -> None:
    log: list[str] = []
    gone = [BackendUnreachable(backend="disk", reason="asleep") for _ in range(9)]
    at = bench(Recipe([Recorded("a", log, failures=gone)], log, no_return="a"))
    operation_id = queued()
    states = [at.run(operation_id).state for _ in range(3)]
    assert states == ["waiting", "waiting", "failed"]
    assert "undo a" not in log


def test_an_undo_that_fails_is_tried_again_and_then_left_to_a_cleanup(bench, queued, database) -> None:
    log: list[str] = []
    asleep = [BackendUnreachable(backend="disk", reason="asleep") for _ in range(99)]
    steps = [Recorded("a", log, failures=[full()], undo_failures=asleep)]
    at = bench(Recipe(steps, log, elsewhere=Elsewhere(log)))
    operation_id = queued()
    paused = at.run(operation_id)
    assert (paused.state, paused.worker) == ("undoing", None)
    assert "asleep" in paused.wait_reason
    time.sleep(RULES.undo_timeout)
    assert at.run(operation_id).queue == "scheduler"
    with database.reading() as tx:
        left = operations.due(tx, QUEUE, "worker-1", 0.0)
    assert len(left) == 1


def test_a_lost_resource_ends_the_operation(bench, queued) -> None:
    log: list[str] = []
    recipe = Recipe([Recorded("a", log)], log)
    recipe.missing = True
    assert bench(recipe).run(queued()).state == "failed"
    assert log == []


def test_a_bug_in_a_step_is_undone_like_any_failure(bench, queued) -> None:
    log: list[str] = []
    ended = bench(Recipe([Recorded("a", log, failures=[KeyError("x")])], log)).run(queued())
    assert ended.state == "failed"
    assert ended.error == {"type": "KeyError", "message": "KeyError: 'x'"}


def test_a_worker_that_lost_its_operation_writes_nothing(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued()

    class TakenOver(Recorded):
        def do(self, work):
            database.write(operations.claim, operation_id, QUEUE, "worker-2", "token")

    now = bench(Recipe([TakenOver("a", log)], log)).run(operation_id)
    assert (now.state, now.worker) == ("running", "worker-2")
    assert "ended succeeded" not in log


def test_a_locked_resource_is_waited_for_without_a_thread(bench, queued, database) -> None:
    log: list[str] = []
    at = bench(Recipe([Recorded("a", log)], log))
    operation_id = queued(resource_id="r", volume_id="r")
    with at.locks.holding(Claims(exclusive=["r"]), patience=0):
        waiting = at.run(operation_id)
    assert (waiting.state, waiting.wait_reason) == ("waiting", "blocked by the lock of r on this node")
    assert log == []


def test_when_the_database_goes_the_operation_is_ended_after_it_is_back(bench, queued, database, monkeypatch) -> None:
    log: list[str] = []
    at = bench(Recipe([Recorded("a", log)], log))
    operation_id = queued()
    real = database.write

    def gone(work, *arguments):
        if work is operations.claim:
            return real(work, *arguments)
        raise ServiceUnavailable(reason="the database is away")

    monkeypatch.setattr(database, "write", gone)
    assert at.run(operation_id).state == "running"
    monkeypatch.setattr(database, "write", real)
    assert at.engine.dropped() == [operation_id]
    assert at.run(operation_id).state == "succeeded"


def test_what_nobody_foresaw_and_then_no_database_is_taken_up_again_too(bench, queued, database, monkeypatch) -> None:
    """A full disk: neither the lock nor the row can be written."""
    log: list[str] = []
    recipe = Recipe([Recorded("a", log)], log)
    at = bench(recipe)
    operation_id = queued()
    real = database.write

    def gone(work, *arguments, **more):
        if work is operations.claim:
            return real(work, *arguments, **more)
        raise ServiceUnavailable(reason="the database is away")

    def no_locks(work):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(database, "write", gone)
    monkeypatch.setattr(recipe, "locks", no_locks)
    assert at.run(operation_id).state == "running"
    monkeypatch.undo()
    assert at.engine.dropped() == [operation_id]
    assert at.run(operation_id).state == "succeeded"


def test_a_lock_that_cannot_be_made_is_waited_for_and_counts_as_no_claim(bench, queued, tmp_path, monkeypatch) -> None:
    log: list[str] = []
    monkeypatch.setattr(run, "LOCKED_PAUSE", 0.0)
    at = bench(Recipe([Recorded("a", log)], log))
    operation_id = queued()
    (tmp_path / "locks").rename(tmp_path / "away")
    for _ in range(run.MOST_CLAIMS + 1):
        waiting = at.run(operation_id)
        assert (waiting.state, waiting.claims) == ("waiting", 0)
        assert "cannot be taken on this node: No such file or directory" in waiting.wait_reason
        at.rest()
    (tmp_path / "away").rename(tmp_path / "locks")
    assert at.run(operation_id).state == "succeeded"


def test_progress_is_noted_and_stops_when_the_service_does(bench, queued) -> None:
    log: list[str] = []
    held = threading.Event()

    class Copy(Recorded):
        def do(self, work):
            work.progress(1, 2)
            if not held.is_set():
                held.set()
                at.engine.stop()
            work.progress(2, 2)

    at = bench(Recipe([Copy("copy", log)], log))
    operation_id = queued()
    left = at.run(operation_id)
    assert (left.state, left.timeline[0]["done_bytes"]) == ("running", 1)


def test_what_nobody_foresaw_waits_visibly_longer_each_time_and_is_undone_in_the_end(bench, queued) -> None:
    log: list[str] = []

    class Broken(Recipe):
        def succeed(self, tx, work):
            raise RuntimeError("a bug")

    at = bench(Broken([Recorded("a", log)], log))
    operation_id = queued()
    waiting = at.run(operation_id)
    assert (waiting.state, waiting.wait_reason) == ("waiting", "RuntimeError: a bug")
    states = [at.run(operation_id).state for _ in range(5)]
    assert states == ["waiting"] * 4 + ["failed"]
    assert log[-3:] == ["undo a", "fail", "ended failed"]
    assert at.read(operation_id).error["type"] == "Poisonous"


def test_what_has_no_way_back_and_nobody_foresaw_is_given_up_after_ten_claims(bench, queued) -> None:
    log: list[str] = []

    class Broken(Recipe):
        def succeed(self, tx, work):
            raise RuntimeError("a bug")

    at = bench(Broken([Recorded("a", log)], log, no_return="a"))
    operation_id = queued()
    states = [at.run(operation_id).state for _ in range(11)]
    assert states == ["waiting"] * 10 + ["failed"]
    assert at.read(operation_id).error["type"] == "Poisonous"
    assert "undo a" not in log


def test_an_operation_whose_process_died_each_time_is_undone_after_five_claims(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued()
    for life in range(5):
        database.write(operations.claim, operation_id, QUEUE, f"killed-{life}", "token")
    ended = bench(Recipe([Recorded("a", log), Recorded("b", log)], log)).run(operation_id)
    assert log == ["undo b", "undo a", "fail", "ended failed"]
    assert ended.error["type"] == "Poisonous"


def test_an_operation_that_kills_its_undo_too_is_given_up_with_a_cleanup(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued()
    for life in range(10):
        database.write(operations.claim, operation_id, QUEUE, f"killed-{life}", "token")
    ended = bench(Recipe([Recorded("a", log)], log, elsewhere=Elsewhere(log))).run(operation_id)
    assert log == ["fail", "ended failed"]
    assert ended.state == "failed"
    with database.reading() as tx:
        assert len(operations.due(tx, QUEUE, "worker-1", 0.0)) == 1


def test_waiting_in_order_is_held_against_nobody(bench, queued) -> None:
    log: list[str] = []
    at = bench(Recipe([Recorded("a", log)], log))
    operation_id = queued(resource_id="r", volume_id="r")
    with at.locks.holding(Claims(exclusive=["r"]), patience=0):
        for _ in range(12):
            waiting = at.run(operation_id)
            at.rest()
    assert (waiting.state, waiting.claims) == ("waiting", 0)
    assert at.run(operation_id).state == "succeeded"


# --- cancelled --------------------------------------------------------------------------------------------------------

ASKED = {"type": "Cancelled", "message": "cancelled as user u asked (request req-2)"}


def test_a_cancelled_operation_that_was_not_begun_touches_nothing(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued()
    database.write(operations.request_cancel, operation_id, ASKED)
    ended = bench(Recipe([Recorded("a", log)], log)).run(operation_id)
    assert log == ["fail", "ended failed"]
    assert (ended.state, ended.error) == ("failed", ASKED)


def test_one_without_a_way_back_that_was_cancelled_before_it_began_never_begins(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued(resource_id="r", volume_id="r")
    at = bench(Recipe([Recorded("a", log)], log, no_return="a"))
    with at.locks.holding(Claims(exclusive=["r"]), patience=0):
        waiting = at.run(operation_id)
        assert database.write(operations.request_cancel, operation_id, ASKED, waiting)
        assert not database.write(operations.request_cancel, operation_id, ASKED, dataclasses.replace(waiting, epoch=9))
        assert database.write(operations.claim, operation_id, QUEUE, "killed", "token")
        ended = at.run(operation_id)
    assert log == ["fail", "ended failed"]
    assert (ended.state, ended.error) == ("failed", ASKED)


def test_it_needs_no_lock_to_end_one_that_waits_for_a_lock(bench, queued, database) -> None:
    log: list[str] = []
    at = bench(Recipe([Recorded("a", log)], log))
    operation_id = queued(resource_id="r", volume_id="r")
    with at.locks.holding(Claims(exclusive=["r"]), patience=0):
        assert at.run(operation_id).state == "waiting"
        database.write(operations.request_cancel, operation_id, ASKED)
        assert at.run(operation_id).state == "failed"
    assert log == ["fail", "ended failed"]


def test_a_cancellation_in_the_middle_undoes_every_step(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued()

    class Asked(Recorded):
        def do(self, work):
            super().do(work)
            database.write(operations.request_cancel, operation_id, ASKED)
            at.engine.cancel(operation_id)

    at = bench(Recipe([Asked("a", log), Recorded("b", log)], log, elsewhere=Elsewhere(log)))
    ended = at.run(operation_id)
    assert log == ["do a", "undo b", "undo a", "fail", "ended failed"]
    assert ended.error == ASKED
    assert at.placed == []


def test_a_cancellation_whose_message_was_lost_is_read_from_the_row_at_the_end(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued()

    class Asked(Recorded):
        def do(self, work):
            super().do(work)
            database.write(operations.request_cancel, operation_id, ASKED)

    ended = bench(Recipe([Asked("a", log)], log)).run(operation_id)
    assert log == ["do a", "succeed", "undo a", "fail", "ended failed"]  # what succeed wrote was rolled back
    assert (ended.state, ended.error) == ("failed", ASKED)


def test_a_copy_hears_of_a_cancellation_at_its_next_note_of_progress(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued()

    class Copy(Recorded):
        def do(self, work):
            super().do(work)
            work.progress(1, 3)
            database.write(operations.request_cancel, operation_id, ASKED)
            work.progress(2, 3)
            log.append("copied to the end")

    ended = bench(Recipe([Copy("a", log)], log)).run(operation_id)
    assert log == ["do a", "undo a", "fail", "ended failed"]
    assert ended.error == ASKED


def test_what_is_cancelled_while_it_is_undone_for_a_failure_is_not_tried_elsewhere(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued()

    class Asked(Recorded):
        def undo(self, work):
            super().undo(work)
            database.write(operations.request_cancel, operation_id, ASKED)

    at = bench(Recipe([Asked("a", log, failures=[full()])], log, elsewhere=Elsewhere(log)))
    ended = at.run(operation_id)
    assert (ended.state, ended.error, at.placed) == ("failed", ASKED, [])


def test_past_the_point_of_no_return_a_request_to_cancel_changes_nothing(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued()

    class Asked(Recorded):
        def do(self, work):
            super().do(work)
            database.write(operations.request_cancel, operation_id, ASKED)
            at.engine.cancel(operation_id)

    at = bench(Recipe([Asked("a", log), Recorded("b", log)], log, no_return="a"))
    assert at.run(operation_id).state == "succeeded"
    assert log == ["do a", "do b", "succeed", "succeed", "ended succeeded"]


# --- blocked ----------------------------------------------------------------------------------------------------------


def test_a_call_that_does_not_return_is_told_on_the_row_and_forgotten_when_it_does(bench, queued, database) -> None:
    log: list[str] = []
    operation_id = queued()

    class Slow(Recorded):
        def do(self, work):
            super().do(work)
            time.sleep(0.02)
            told.append((at.engine.tell_blocked(), at.read(operation_id).wait_reason, at.engine.stuck()))

    told: list[tuple[list[str], str, str]] = []
    rules = dataclasses.replace(RULES, blocked_after=0.01, stuck_timeout=0.01)
    at = bench(Recipe([Slow("a", log)], log), rules=rules)
    ended = at.run(operation_id)
    ((ids, reason, stuck),) = told
    assert ids == [operation_id]
    assert reason.startswith("blocked by step a: it has not returned for")
    assert stuck == f"operation {operation_id} is stuck in step a"
    assert (ended.state, ended.wait_reason) == ("succeeded", None)
    assert (at.engine.tell_blocked(), at.engine.stuck()) == ([], None)


def test_a_pause_ends_by_our_own_timer_though_the_clock_was_set_back(bench, queued, database) -> None:
    log: list[str] = []
    at = bench(Recipe([Recorded("a", log, failures=[full()])], log, no_return="a"))
    operation_id = queued()
    assert at.run(operation_id).state == "waiting"
    with database.engine.begin() as tx:
        tx.execute(tables.operations.update().values(not_before=tables.operations.c.not_before + 3_600_000_000))
    assert at.run(operation_id).state == "succeeded"


def test_the_same_in_the_middle_of_an_undo(bench, queued) -> None:
    log: list[str] = []

    class Broken(Recipe):
        def fail(self, tx, work, error):
            raise RuntimeError("a bug")

    at = bench(Broken([Recorded("a", log, failures=[full()])], log))
    operation_id = queued()
    paused = at.run(operation_id)
    assert (paused.state, paused.worker, paused.wait_reason) == ("undoing", None, "RuntimeError: a bug")
    assert at.run(operation_id).claims == 2


def test_an_operation_of_a_newer_release_waits_and_says_so(bench, queued) -> None:
    log: list[str] = []
    waiting = bench(Recipe([Recorded("a", log)], log)).run(queued(kind="volume.teleport"))
    assert waiting.state == "waiting"
    assert "volume.teleport" in waiting.wait_reason


def test_an_endless_kind_is_never_given_up(bench, queued) -> None:
    log: list[str] = []
    recipe = Recipe([Recorded("a", log, failures=[full()] * 5)], log, no_return="a")
    recipe.kind = "endless"
    at = bench(recipe)
    operation_id = queued(kind="endless")
    for _ in range(5):
        assert at.run(operation_id).state == "waiting"
    assert at.run(operation_id).state == "succeeded"


# --- somebody else holds it -----------------------------------------------------------------------------------------


def busy() -> BackendBusy:
    return BackendBusy(what="image 7", backend="disk", reason="watched by client.42")


@pytest.mark.parametrize("no_return", [None, "a"])
def test_what_somebody_holds_waits_with_growing_pauses_and_is_done_when_it_is_let_go(bench, queued, no_return) -> None:
    log: list[str] = []
    rules = dataclasses.replace(RULES, busy_timeout=60.0, retry_pause=0.01)
    bench = bench(Recipe([Recorded("a", log, [busy() for _ in range(5)])], log, no_return), rules=rules)
    operation_id = queued()
    for _ in range(5):  # more than forward_retries
        waiting = bench.run(operation_id)
        assert (waiting.state, waiting.wait_reason) == ("waiting", "image 7 on disk is busy: watched by client.42")
        bench.rest()
    assert [pause for _, pause in bench.later] == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.16], abs=0.006)
    assert bench.run(operation_id).state == "succeeded"
    assert log == ["do a"] * 6 + ["succeed", "ended succeeded"]


@pytest.mark.parametrize(("no_return", "end"), [(None, ["undo a", "fail"]), ("a", ["fail"])])
def test_what_is_held_for_too_long_ends_as_declared_and_says_by_whom(bench, queued, no_return, end) -> None:
    log: list[str] = []
    rules = dataclasses.replace(RULES, busy_timeout=0.1, forward_retries=0)
    bench = bench(Recipe([Recorded("a", log, [busy(), busy()])], log, no_return), rules=rules)
    operation_id = queued()
    assert bench.run(operation_id).state == "waiting"
    time.sleep(rules.busy_timeout)
    ended = bench.run(operation_id)
    assert (ended.state, ended.error["type"]) == ("failed", "BackendBusy")
    assert "client.42" in ended.error["message"]
    assert log == ["do a", "do a", *end, "ended failed"]


def test_one_that_waits_for_a_holder_can_be_cancelled(bench, queued, database) -> None:
    log: list[str] = []
    rules = dataclasses.replace(RULES, busy_timeout=60.0)
    bench = bench(Recipe([Recorded("a", log, [busy()])], log), rules=rules)
    operation_id = queued()
    assert bench.run(operation_id).state == "waiting"
    database.write(operations.request_cancel, operation_id, {"type": "Cancelled", "message": "by somebody"})
    assert bench.run(operation_id).state == "failed"
    assert log == ["do a", "undo a", "fail", "ended failed"]


def test_what_belongs_to_another_lane_waits_for_it_untouched_and_is_cancelled_as_unbegun(
    database: Database, tmp_path: Path, queued: Callable[..., str]
) -> None:
    """A volume that is filled with zeros for hours takes no thread of short work."""
    log: list[str] = []
    recipe = Recipe([Recorded("fill", log)], log)
    bench = Bench(database, tmp_path, recipe)
    woken = bench.with_lanes(recipe, lambda operation: "long")
    operation_id, other_id = queued(), queued()
    found = bench.run(operation_id)
    assert (found.state, found.lane, found.claims, log) == ("queued", "long", 0, [])
    assert [(each, lane) for each, lane, _ in woken] == [(operation_id, "long")]
    assert bench.run(operation_id).state == "succeeded"
    assert log == ["do fill", "succeed", "ended succeeded"]

    log.clear()
    bench.run(other_id)
    database.write(operations.request_cancel, other_id, {"type": "Cancelled", "message": "no more"})
    assert bench.run(other_id).state == "failed"
    assert log == ["fail", "ended failed"]

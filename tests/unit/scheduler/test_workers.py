"""The threads that place."""

import threading

from volumed.scheduler.workers import Workers


def test_a_job_named_many_times_while_it_waits_is_done_once_and_again_when_named_during_its_run():
    done, begun, go_on, last = [], threading.Event(), threading.Event(), threading.Event()

    def work(job):
        begun.set()
        go_on.wait(5)
        done.append(job)
        if job == "last":
            last.set()

    workers = Workers(1, work)
    workers.start()
    workers.submit("first")
    assert begun.wait(5)
    for _ in range(5):
        workers.submit("first")
        workers.submit("second")
    workers.submit("last")
    go_on.set()
    assert last.wait(5)
    workers.stop(5)
    assert done == ["first", "first", "second", "last"]


def test_a_job_that_fails_stops_no_other():
    done = threading.Event()

    def work(job):
        if job == "bad":
            raise ValueError(job)
        done.set()

    workers = Workers(1, work)
    workers.start()
    workers.submit("bad")
    workers.submit("good")
    assert done.wait(5)
    workers.stop(5)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("placement")]

"""What lines are about: it nests, ends with its block, and goes along where a thread works for another."""

import logging
import threading

from volumed.launch.logs import Subjects
from volumed.model import subject
from volumed.model.subject import Subject, about
from volumed.rpc.patience import Courier, within


def test_it_is_added_to_inside_a_block_and_as_before_after_it() -> None:
    with about("req-1"):
        with about(operation_id="op-1"):
            assert subject.current() == Subject("req-1", "op-1")
        assert subject.current() == Subject("req-1")
    assert subject.current() == subject.NOTHING


def test_a_thread_that_works_for_another_is_at_the_same() -> None:
    seen: list[Subject] = []
    done, courier = threading.Event(), Courier()
    with about("req-1", "op-1"):
        assert within(30, subject.current) == Subject("req-1", "op-1")
        courier.take(lambda: (seen.append(subject.current()), done.set()))
    assert done.wait(30)
    assert seen == [Subject("req-1", "op-1")]
    assert within(30, subject.current) == subject.NOTHING


def test_each_record_has_the_ids_and_a_line_without_any_has_no_brackets() -> None:
    record = logging.LogRecord("volumed", logging.INFO, "x.py", 1, "said", None, None)
    Subjects().filter(record)
    assert (record.about, record.request_id, record.operation_id) == ("", None, None)  # type: ignore[attr-defined]
    with about("req-1", "op-1"):
        Subjects().filter(record)
    assert record.about == "[req-1 op-1] "  # type: ignore[attr-defined]
    assert record.extra == {"request_id": "req-1", "operation_id": "op-1"}  # type: ignore[attr-defined]

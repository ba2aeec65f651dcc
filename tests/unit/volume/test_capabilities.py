"""Reports of a backend: at once, soon after a change, many changes in one, numbered in their order."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from volumed.driver.interface import Capabilities, PoolCapabilities
from volumed.model.errors import BackendUnreachable
from volumed.volume import capabilities
from volumed.volume.capabilities import Reporter

POOL = PoolCapabilities("pool", "storage", 10.0, 9.0, 0.0, 0, 20.0, True)
MEASURED = Capabilities("file", "iSCSI", "volumed", "1.0", False, True, False, (POOL,))


@pytest.fixture
def sent() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def reporter(sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Reporter]]:
    monkeypatch.setattr(capabilities, "CHANGE_SPACING", 0.1)
    made = []

    def make(measure: Callable[[], Capabilities] = lambda: MEASURED, interval: float = 30.0) -> Reporter:
        made.append(Reporter({"host": "node@file"}, measure, sent.append, interval))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_first_report_is_sent_at_once_and_is_plain(reporter, sent) -> None:
    reporter().start()
    until(lambda: len(sent) == 1)
    assert sent[0]["host"] == "node@file"
    assert sent[0]["sequence"] == 1
    assert sent[0]["pools"][0]["storage_id"] == "storage"


def test_a_hundred_changes_make_few_reports_and_the_last_change_is_in_one(reporter, sent) -> None:
    changes = []

    def measure() -> Capabilities:
        seen.append(len(changes))
        return MEASURED

    seen: list[int] = []
    made = reporter(measure)
    made.start()
    until(lambda: len(sent) == 1)
    for number in range(100):
        changes.append(number)
        made.changed()
    until(lambda: seen[-1] == 100)
    assert 2 <= len(sent) <= 3


def test_without_a_change_a_report_comes_every_interval(reporter, sent) -> None:
    reporter(interval=0.02).start()
    until(lambda: len(sent) >= 3)


def test_reports_are_numbered_also_when_several_ask_at_once(reporter, sent) -> None:
    made = reporter()
    threads = [threading.Thread(target=made.publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report["sequence"] for report in sent] == list(range(1, 9))


def test_a_backend_that_cannot_be_measured_is_not_reported_and_comes_back(reporter, sent, caplog) -> None:
    troubles = [BackendUnreachable(backend="file", reason="gone"), RuntimeError("unforeseen")]

    def measure() -> Capabilities:
        if troubles:
            raise troubles.pop(0)
        return MEASURED

    reporter(measure, interval=0.02).start()
    until(lambda: len(sent) >= 1)
    assert sent[0]["sequence"] == 1
    assert "file cannot be reached: gone" in caplog.text
    assert "unforeseen" in caplog.text


def test_stopping_is_quick_in_the_middle_of_a_pause(reporter, sent) -> None:
    made = reporter()
    made.start()
    until(lambda: len(sent) == 1)
    began = time.monotonic()
    made.stop()
    assert time.monotonic() - began < 1


def test_a_pool_that_closes_or_opens_is_reported_soon_and_once(reporter, sent) -> None:
    told = reporter(interval=3600.0)
    told.start()
    until(lambda: len(sent) == 1)
    told.notice(frozenset())
    for number, closed in enumerate((frozenset({"pool"}), frozenset()), start=2):
        told.notice(closed)
        told.notice(closed)
        until(lambda number=number: len(sent) == number)
    time.sleep(0.3)
    assert len(sent) == 3

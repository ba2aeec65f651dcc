"""The bucket's law: never more than the rate and one second's worth, and a wait that is true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumed.api import rate_limit
from volumed.api.rate_limit import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(rate=st.floats(0.1, 50), pauses=st.lists(st.floats(0, 3), max_size=60))
def test_no_span_of_time_has_more_than_the_rate_and_a_second_more(rate: float, pauses: list[float]) -> None:
    clock = Clock()
    buckets, taken = Buckets(rate, clock), 0
    began = clock.now
    for pause in pauses:
        clock.now += pause
        taken += buckets.take("p") == 0
    assert taken <= max(1.0, rate) + (clock.now - began) * rate + 1e-6


@given(rate=st.floats(0.1, 50))
def test_after_the_wait_that_is_told_there_is_a_token(rate: float) -> None:
    clock = Clock()
    buckets = Buckets(rate, clock)
    while not (wait := buckets.take("p")):
        pass
    clock.now += wait + 1e-6
    assert buckets.take("p") == 0


def test_one_project_takes_nothing_from_another() -> None:
    buckets = Buckets(1, Clock())
    assert [buckets.take(each) > 0 for each in ("p", "p", "q", "q")] == [False, True, False, True]


def test_projects_of_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MOST_BUCKETS", 2)
    buckets = Buckets(1, Clock())
    for each in ("p", "q", "p", "r", "s"):
        buckets.take(each)
    assert set(buckets._buckets) == {"r", "s"}

"""Signs of life of a call that tells none: while the cluster answers, by whoever waits, never in place of an error."""

import threading

import pytest

from volumed_drivers.rbd import signs
from volumed_drivers.rbd.relay import Relay

TOTAL = 1024

#: Seconds that a test waits for what comes at once.
PATIENCE = 30.0


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "INTERVAL", 0.001)


def test_whoever_waits_is_told_while_the_cluster_answers() -> None:
    told, by = threading.Event(), set()

    def progress(done: int, total: int) -> None:
        by.add((threading.current_thread(), done, total))
        told.set()

    signs.carry_out(lambda: told.wait(PATIENCE), lambda: True, Relay(progress), TOTAL)
    assert by == {(threading.current_thread(), 0, TOTAL)}


def test_a_cluster_that_does_not_answer_gives_no_sign() -> None:
    asked = threading.Event()
    told = []

    def is_answered() -> bool:
        asked.set()
        return False

    relay = Relay(lambda done, total: told.append(done))
    signs.carry_out(lambda: asked.wait(PATIENCE), is_answered, relay, TOTAL)
    assert asked.is_set()
    assert not told


def test_what_the_progress_raises_comes_after_the_end() -> None:
    raised, ended = threading.Event(), threading.Event()

    def progress(done: int, total: int) -> None:
        raised.set()
        raise KeyboardInterrupt

    def call() -> None:
        raised.wait(PATIENCE)
        ended.set()

    relay = Relay(progress)
    signs.carry_out(call, lambda: True, relay, TOTAL)
    assert ended.is_set()
    with pytest.raises(KeyboardInterrupt):
        relay.settle()


def test_what_the_call_raises_is_raised() -> None:
    def call() -> None:
        raise KeyError("it")

    with pytest.raises(KeyError, match="it"):
        signs.carry_out(call, lambda: True, Relay(lambda done, total: None), TOTAL)

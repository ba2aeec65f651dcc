"""A server that stops, or has too much to do: whoever asks it gets an answer that says when to come again."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.functional.fuzz.wire import PATIENCE, Answer, Wire
from volumed.launch.http import Address, HttpService

ASKED = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
SENT = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n" + b"a" * 30000


class Served:
    """A server with one thread; its application waits on ``/held`` until ``release``."""

    def __init__(self) -> None:
        self.service = HttpService(Address("127.0.0.1", 0), 1, PATIENCE)
        self.arrived, self.released = threading.Event(), threading.Event()
        self.service.serve(self.application)
        self.service.start()

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if environ["PATH_INFO"] == "/held":
            self.arrived.set()
            assert self.released.wait(PATIENCE)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def release(self) -> None:
        self.released.set()

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        address = self.service.address.host, self.service.address.port
        with socket.create_connection(address, PATIENCE) as connection:
            yield Wire(connection)


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    try:
        yield served
    finally:
        served.release()
        served.service.stop()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def refusal(answer: Answer | None) -> None:
    assert answer is not None
    assert answer.status == 503
    assert answer.fault["code"] == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["connection"] == "close"


def test_while_it_stops_what_runs_is_answered_and_what_comes_on_a_kept_connection_is_sent_elsewhere(
    served: Served,
) -> None:
    server = served.service._server
    with served.wire() as running, served.wire() as kept, served.wire() as sending:
        for wire in (kept, sending):
            assert wire.ask(ASKED).status == 200
        running.send(ASKED.replace(b"/x", b"/held"))
        assert served.arrived.wait(PATIENCE)
        stopping = threading.Thread(target=served.service.stop)
        stopping.start()
        until(lambda: server.is_stopping)
        kept.send(ASKED)
        sending.send(SENT)
        until(lambda: server.requests._queue.qsize() == 2)
        served.release()
        answered = running.answer()
        assert answered is not None
        assert (answered.status, answered.headers["connection"]) == (200, "close")
        stopping.join(PATIENCE)
        # One thread was busy: these waited for it, and it went on to them before it ended.
        for wire in (kept, sending):
            refusal(wire.answer())
            assert wire.is_closed()


def test_whoever_has_come_when_it_stops_is_sent_elsewhere_and_not_cut_off() -> None:
    service = HttpService(Address("127.0.0.1", 0), 1, PATIENCE)
    # Nobody accepts yet: all of them have come when it stops, one with its request on the way.
    with ExitStack() as open_:
        wires = [Wire(open_.enter_context(socket.create_connection(service._server.bind_addr))) for _ in range(3)]
        for wire, asked in zip(wires, (ASKED, SENT, ASKED[:9]), strict=True):
            wire.send(asked)
        stopping = threading.Thread(target=service.stop)
        stopping.start()
        until(lambda: service._server.socket is None)
        wires[2].send(ASKED[9:])
        for wire in wires:
            refusal(wire.answer())
        stopping.join(PATIENCE)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(service._server.bind_addr)


def test_who_finds_no_place_in_the_queue_is_told_when_to_come_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = served.service._server.requests._queue
    with served.wire() as running, served.wire() as queued, served.wire() as surplus:
        running.send(ASKED.replace(b"/x", b"/held"))
        assert served.arrived.wait(PATIENCE)
        monkeypatch.setattr(waiting, "maxsize", 1)
        queued.send(ASKED)
        until(waiting.full)
        surplus.send(SENT)
        refusal(surplus.answer())
        assert surplus.is_closed()
        served.release()
        assert [wire.answer().status for wire in (running, queued)] == [200, 200]  # type: ignore[union-attr]

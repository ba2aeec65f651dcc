"""A stream against lines that take little, nothing, or break: what was sent is whole, and the place is given back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volumed.api import streams
from volumed.api.streams import Bounds, EventStream, NoPlace, Streams
from volumed.db.engine import Database
from volumed.db.events import Wanted
from volumed.model.records import Event
from volumed.operations.feed import Feed, Listener


class Idle(Feed):
    """Takes listeners and leaves them alone: the test plays its thread."""

    def add(self, listener: Listener) -> None:
        pass


class Line:
    """Takes as many bytes at a time as it is told; None: it breaks."""

    def __init__(self, takes: list[int | None]) -> None:
        self.takes = takes
        self.sent = b""
        self.gone = False
        self.closed = 0

    def send(self, data: bytes | bytearray) -> int:
        count = self.takes.pop(0) if self.takes else 0
        if count is None:
            raise BrokenPipeError
        self.sent += data[:count]
        return min(count, len(data))

    def is_gone(self) -> bool:
        return self.gone

    def close(self) -> None:
        self.closed += 1


class Clock:
    """In the place of the module ``time``."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(streams, "time", clock)
    return clock


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    database = Database(f"sqlite:///{tmp_path}/volumed.db")
    yield Idle(database)
    database.close()


def carried(feed: Feed, line: Line, places: int = 1, position: int = 0) -> tuple[Streams, EventStream]:
    kept = Streams(feed, Bounds(places=places, seconds=600, heartbeat=15))
    stream = kept.open(Wanted(project_id="p"), position, shows_host=False)
    stream.carry(line)
    return kept, stream


def event(position: int, project: str = "p", **payload: Any) -> Event:
    return Event(
        position, "volume", "v", position, project, "volume.create.start", None, "req", payload, 0, False, position
    )


def blocks(sent: bytes) -> list[dict[str, bytes]]:
    parts = [part for part in sent.split(b"\n\n") if part]
    return [dict(line.split(b": ", 1) for line in part.split(b"\n")) for part in parts]  # type: ignore[misc]


@settings(max_examples=40, deadline=None)
@given(takes=st.lists(st.integers(0, 400), max_size=60), text=st.text(max_size=30))
def test_however_little_the_line_takes_every_event_comes_whole_and_once(takes: list[int], text: str) -> None:
    line = Line([*takes, *[10_000] * 20])
    feed = Idle(None)  # type: ignore[arg-type]
    _, stream = carried(feed, line)
    position = 0
    for _ in range(len(line.takes) + 10):
        if stream.is_ready() and position < 6:
            page = [event(position + 1, words=text), event(position + 2, "q")]
            position += 2
            stream.take(page, position)
        assert stream.look()
    told = [block for block in blocks(line.sent) if b"data" in block]
    assert [int(block[b"id"]) for block in told] == [1, 3, 5]
    assert all(orjson.loads(block[b"data"])["payload"] == {"words": text} for block in told)
    assert stream.position == 6


def test_even_a_stream_whose_time_is_over_when_it_begins_tells_its_first_page(feed: Feed, clock: Clock) -> None:
    line = Line([100_000])
    _, stream = carried(feed, line)
    clock.now += 10_000
    assert stream.is_ready()
    stream.take([event(1)], 1)
    assert not stream.look()
    assert [block.get(b"id") for block in blocks(line.sent)] == [b"0", b"1"]


def test_a_client_that_is_behind_is_given_no_more_than_waits_for_it_already(feed: Feed) -> None:
    _, stream = carried(feed, Line([]))
    stream.take([event(1, words="x" * streams.MOST_WAITING)], 1)
    assert not stream.is_ready()


def test_a_heartbeat_comes_in_silence_and_tells_the_position(feed: Feed, clock: Clock) -> None:
    line = Line([10_000] * 10)
    _, stream = carried(feed, line, position=7)
    assert stream.look()
    clock.now += 14
    assert stream.look()
    assert line.sent == b"retry: 1000\nid: 7\n\n"
    stream.take([event(8, "q")], 8)
    clock.now += 2
    assert stream.look()
    assert line.sent.endswith(b"\n\n: 8\nid: 8\n\n")


@pytest.mark.parametrize("takes", [[], [3, 3]])
def test_a_client_that_takes_nothing_is_given_up(feed: Feed, clock: Clock, takes: list[int | None]) -> None:
    line = Line(takes)
    kept, stream = carried(feed, line)
    assert stream.look()
    clock.now += streams.STALLED - 1
    assert stream.look()
    clock.now += 2
    assert not stream.look()
    assert line.closed == 1
    kept.open(Wanted(), 0, False)


def test_a_client_that_takes_a_byte_now_and_then_is_given_up_when_its_time_is_long_over(
    feed: Feed, clock: Clock
) -> None:
    line = Line([])
    _, stream = carried(feed, line)
    stream.take([event(1, words="x" * 5000)], 1)
    looks = 0
    while stream.look():
        looks += 1
        line.takes = [1]
        clock.now += 30
        assert looks < 100
    assert line.closed == 1


@pytest.mark.parametrize("how", ["breaks", "hangs up", "time"])
def test_an_end_closes_the_line_once_and_gives_the_place_back(feed: Feed, clock: Clock, how: str) -> None:
    line = Line([None] if how == "breaks" else [10_000])
    kept, stream = carried(feed, line)
    with pytest.raises(NoPlace):
        kept.open(Wanted(), 0, False)
    if how == "hangs up":
        line.gone = True
    if how == "time":
        assert stream.look()
        line.takes = [10_000]
        clock.now += 601
    assert not stream.look()
    assert not stream.look()
    stream.end()
    stream.close()
    assert line.closed == 1
    kept.open(Wanted(), 0, False)

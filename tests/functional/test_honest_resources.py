"""1,000 create-attach-detach-delete cycles against one server: it holds afterwards what it held before."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from tests.lab.daemon import PATIENCE, Daemon
from tests.lab.nursery import ForkedDaemon, forked_daemon
from tests.lab.outside import Outside
from tests.lab.resources import MOST_DATABASE_DESCRIPTORS, Held, held_by, memory_of

pytestmark = [
    pytest.mark.embedded_only("it counts what one process holds"),
    pytest.mark.part("tgtd"),
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]

CYCLES = int(os.environ.get("VOLUMED_CYCLES", "1000"))
AT_A_TIME = 8

#: Cycles after which every pool of threads and connections has grown to its size, and every cache is warm.
WARM_UP = 400

#: How much more memory there may be after the cycles: 5 %, and for small processes the grain of their allocator.
GROWTH = 1.05
GRAIN = 256 << 10

#: A leak makes each thousand grow; caches (SQLite's prepared statements and pages, malloc's arenas) come to an end.
MOST_THOUSANDS = 3

T = TypeVar("T")


@pytest.fixture
def daemon() -> Iterator[ForkedDaemon]:
    with forked_daemon("[quota]\nvolumes = 100\n") as daemon:
        yield daemon


def test_a_thousand_cycles_leave_what_was_before(daemon: ForkedDaemon) -> None:
    cycles(daemon, WARM_UP)
    before = at_rest(daemon)
    for _ in range(MOST_THOUSANDS):
        memory = memory_of(daemon)
        cycles(daemon, CYCLES)
        assert_held_as(before, daemon)
        if not (grown := growth(memory, daemon)):
            return
    pytest.fail(f"each {CYCLES} cycles made it grow, and the last ones to {grown} from {memory}")


def at_rest(daemon: ForkedDaemon) -> Held:
    """What is held when nothing is under way and the last connection has gone: two looks agree."""
    outside = Outside(daemon)
    assert eventually(outside.differences, lambda found: found == []) == []
    looks = [held_by(daemon)]

    def look_again() -> bool:
        time.sleep(1)
        looks.append(held_by(daemon))
        return is_as(looks[-2], looks[-1])

    assert eventually(look_again, bool)
    return looks[-1]


def assert_held_as(before: Held, daemon: ForkedDaemon) -> None:
    at_rest(daemon)
    after = eventually(lambda: held_by(daemon), lambda held: is_as(before, held))
    assert after.descriptors == before.descriptors
    assert after.threads == before.threads
    assert after.files == before.files
    assert after.database <= MOST_DATABASE_DESCRIPTORS


def growth(memory: Mapping[str, int], daemon: ForkedDaemon) -> dict[str, int]:
    """What has grown by more than is allowed."""
    later = memory_of(daemon)
    print(f"after {CYCLES} cycles: {later}, before: {memory}")
    assert later.keys() == memory.keys()
    return {name: held for name, held in later.items() if held > max(GROWTH * memory[name], memory[name] + GRAIN)}


def cycles(daemon: Daemon, number: int) -> None:
    """So many cycles, ``AT_A_TIME`` at once, each client on one connection."""

    def work(count: int) -> None:
        with daemon.session() as rest:
            for _ in range(count):
                volume_id = rest.make_volume()
                attachment = rest.attach(volume_id)
                rest.post(f"/attachments/{attachment['id']}/action", json={"os-complete": {}}).raise_for_status()
                rest.delete(f"/attachments/{attachment['id']}").raise_for_status()
                rest.delete(f"/volumes/{volume_id}").raise_for_status()
                rest.wait_until_gone(f"/volumes/{volume_id}")

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        list(threads.map(work, [number // AT_A_TIME] * AT_A_TIME))


def is_as(before: Held, held: Held) -> bool:
    """Apart from the database's pool of connections."""
    return (held.descriptors, held.threads, held.files) == (before.descriptors, before.threads, before.files)


def eventually(look: Callable[[], T], is_well: Callable[[T], bool]) -> T:
    """What is found once it is well, or in the end."""
    deadline = time.monotonic() + PATIENCE
    while not is_well(found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found

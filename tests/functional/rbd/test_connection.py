"""A connection ends with the last call that uses it, and takes its threads along."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from volumed.driver.errors import BackendUnreachable
from volumed.driver.interface import VolumeRef

pytestmark = [pytest.mark.part("ceph"), pytest.mark.embedded_only("it is about the driver alone")]

VOLUME = VolumeRef("v", 1, "pool")
COPY = VolumeRef("c", 1, "pool")


@pytest.fixture
def threads_before(backend: Any) -> set[str]:
    return threads()


def threads() -> set[str]:
    """Of this process, those of libraries too."""
    return set(os.listdir("/proc/self/task"))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_driver_that_is_closed_leaves_no_thread(backend: Any, threads_before: set[str]) -> None:
    driver = backend.driver()
    driver.do_setup()
    driver.create(VOLUME)
    driver.delete(VOLUME)
    driver.purge(VOLUME, lambda done, total: None)
    assert threads() - threads_before
    driver.close()
    until(lambda: threads() <= threads_before)


def test_a_driver_that_cannot_connect_leaves_no_thread(backend: Any, threads_before: set[str]) -> None:
    def fail(**options: object) -> None:
        driver = type(backend)(backend.client, backend.folder, backend.data, options=dict(options)).driver()
        with pytest.raises(BackendUnreachable):
            driver.do_setup()

    fail(rbd_pool="no-such-pool")
    fail(rbd_user="nobody")
    until(lambda: threads() <= threads_before)


def test_a_connection_that_is_given_up_in_the_middle_of_a_call_serves_it_to_its_end(
    backend: Any, threads_before: set[str]
) -> None:
    """As when another call has found it lost: the threads of the old one go, and the new one's are as many."""
    driver = backend.driver()
    driver.do_setup()
    driver.create(VOLUME)
    usual = len(threads() - threads_before)
    driver.create_from_volume(COPY, VOLUME, lambda done, total: None)
    flattened, told = threading.Event(), threading.Event()

    def progress(done: int, total: int) -> None:
        told.set()
        flattened.wait(30)

    flatten = threading.Thread(target=lambda: driver.flatten(COPY, progress))
    flatten.start()
    assert told.wait(30)
    first = threads() - threads_before  # others of before may end meanwhile
    driver.close()
    assert driver.has_volume(VOLUME)
    assert first <= threads()
    flattened.set()
    flatten.join(30)
    assert not flatten.is_alive()
    until(lambda: len(threads() - threads_before) <= usual)
    driver.close()
    until(lambda: threads() <= threads_before)
